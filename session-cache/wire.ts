import type { Frame } from './frames'
import { numberIn, textIn } from './frames'
import { tokenOf } from './hash'
import type { Session } from './session'
import { textOf } from './session'

/** The topics of the original, and `session_gone`, which is ours: a session was destroyed. */
export const TOPIC = {
  session: 'session',
  need: 'need_session',
  known: 'session_known',
  received: 'session_received',
  backup: 'session_backup',
  gone: 'session_gone',
} as const

/** What a token is made from; the same in all tiers when clients of the original are among them. */
export interface TokenShape {
  readonly slots: number
  readonly seed: number
}

/**
 * The fields of a session on the wire. `key`, `value`, `hash` are the original's; `at` and `life` (ms that are left) are
 * ours: by them the newer of two wins, and a life ends when it should in every tier, whatever the clock of each says.
 */
export function sessionFields({ key, value, at, exp }: Session, shape: TokenShape): Frame {
  const hash = tokenOf(key, shape.slots, shape.seed)
  return exp === 0 ? { key, value, hash, at } : { key, value, hash, at, life: lifeUntil(exp) }
}

/**
 * The answer to the question `id` who holds the session: its fields stand beside `_response_id`. Written out, since to copy
 * the fields of another object takes longer than all else that an answer needs.
 */
export function sessionAnswer(
  id: number | string,
  { key, value, at, exp }: Session,
  shape: TokenShape,
): Frame {
  const hash = tokenOf(key, shape.slots, shape.seed)
  return exp === 0
    ? { _response_id: id, key, value, hash, at }
    : { _response_id: id, key, value, hash, at, life: lifeUntil(exp) }
}

function lifeUntil(exp: number): number {
  return Math.max(1, Math.ceil(exp - Date.now()))
}

/** No clock is believed to be further ahead than that. */
const MOST_AHEAD_MS = 24 * 3600_000
const LONGEST_MS = 100 * 365 * 24 * 3600_000

/** What a receiver knows that a frame may not say. */
export interface Receiver {
  /** Of a session that comes without `life`, ms; 0: without end. */
  readonly life: number
  /** The `at` of a session that comes without one. */
  stamp(key: string): number
}

/**
 * The session that a frame tells of. Without `key` its `hash` is its key (the original's session_backup). undefined: it
 * tells of none.
 */
export function sessionIn(frame: Frame, receiver: Receiver): Session | undefined {
  const key = textIn(frame, 'key') ?? textIn(frame, 'hash')
  if (!isSessionKey(key) || !Object.hasOwn(frame, 'value')) return undefined
  const value = frame['value']
  if (value === false || value === undefined) return undefined
  const now = Date.now()
  const at = numberIn(frame, 'at')
  const life = numberIn(frame, 'life') ?? (receiver.life === 0 ? undefined : receiver.life)
  return {
    key,
    value: value === null ? null : textOf(value),
    at: at === undefined ? receiver.stamp(key) : Math.min(at, now + MOST_AHEAD_MS),
    exp: life === undefined ? 0 : now + Math.min(life, LONGEST_MS),
  }
}

/** Without the characters that LMDB's encoding of long keys does not give back: such a record could never be put out. */
export function isSessionKey(key: unknown): key is string {
  return (
    typeof key === 'string' && key.length > 0 && Buffer.byteLength(key) <= 512 && !/[\u0000-\u0004]/.test(key)
  )
}
