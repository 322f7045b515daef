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
 * The fields of a session on the wire. `key`, `value`, `hash` are the original's; `at` and `exp` are ours: by them the
 * newer of two wins, and a life ends when it should in every tier.
 */
export function sessionFields(session: Session, shape: TokenShape): Frame {
  return {
    key: session.key,
    value: session.value,
    hash: tokenOf(session.key, shape.slots, shape.seed),
    at: session.at,
    ...(session.exp === 0 ? {} : { exp: session.exp }),
  }
}

/**
 * The session that a frame tells of. Without `key` its `hash` is its key (the original's session_backup); without `at`
 * it is of now. undefined: it tells of none.
 */
export function sessionIn(frame: Frame, now: number, life: number): Session | undefined {
  const key = textIn(frame, 'key') ?? textIn(frame, 'hash')
  if (key === undefined || !isSessionKey(key) || !Object.hasOwn(frame, 'value')) return undefined
  const value = frame['value']
  if (value === false || value === undefined) return undefined
  return {
    key,
    value: value === null ? null : textOf(value),
    at: numberIn(frame, 'at') ?? now,
    exp: numberIn(frame, 'exp') ?? (life === 0 ? 0 : now + life),
  }
}

export function isSessionKey(key: string): boolean {
  return key.length > 0 && Buffer.byteLength(key) <= 512
}
