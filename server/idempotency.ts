import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Pepper } from '../auth'
import { Key, Kv4Error, Layer, Path, isKv4Error } from '../core'
import type { Address, Bucket, Engine, ErrorCode, ErrorFields, Json } from '../core'
import { Reply } from '../services/module'
import type { BoundRequest, RouteCall } from './exchange'
import { statusOf } from './status'

export const IDEMPOTENCY_KEY = 'idempotency-key'

/** How long an answer is kept. */
const KEPT_MS = 24 * 3600 * 1000
/** An attempt of another node counts as under way for so long; no call takes nearly as much. */
const UNDER_WAY_MS = 60_000
/** By how much the clocks of nodes may differ. */
const CLOCKS_MS = 5 * 60_000
/** A longer answer is not kept: the writes are carried out again, which finds what they wrote. */
const MAX_ANSWER = 16 * 1024

const LAYER = Layer.internal('requests')
const FORM = /^[\x21-\x7e]{1,255}$/

/** What is kept of a request, in the caller's bucket under a hash of login and Idempotency-Key. */
interface RequestRecord {
  /** HMAC of what was asked. */
  readonly asked: string
  /** Unix ms of the first attempt. */
  readonly startedAt: number
  /** The life of the node whose attempt is under way; absent: none is. */
  readonly attempt?: string
  /** Sealed. */
  readonly answer?: string
}

type Outcome =
  | { readonly value: Json; readonly tag?: string; readonly created?: boolean; readonly next?: string }
  | { readonly error: ErrorCode; readonly fields: ErrorFields }

export interface IdempotencyOptions {
  readonly engine: Engine
  readonly pepper: Pepper
  /** Names this life of the node. */
  readonly epoch: string
  /** No other process writes to the store: an attempt that is not under way here is over. */
  readonly exclusive: boolean
  /** Told when an answer could not be kept; the caller has it all the same. */
  readonly onBackgroundError: (error: unknown) => void
}

/**
 * Carries out a request with an Idempotency-Key once, however often it comes (docs/decisions/0006):
 *
 *     no record ──claim──► under way ──run, keep the answer──► answered ──again──► the same answer
 *                              │
 *                              └─ died, or no verdict ──again──► taken over: run, finding what was written
 *
 * The record is a `current` entry that lapses; the claim is a compare-and-set, so one attempt has it. Every version that
 * the attempt writes carries the request's mark in its own record (core's `marked`), so that an attempt that died
 * between its write and its answer is found to have written.
 */
export class Idempotency {
  readonly #options: IdempotencyOptions
  readonly #underWay = new Map<string, { readonly asked: string; readonly end: Promise<unknown> }>()

  constructor(options: IdempotencyOptions) {
    this.#options = options
    options.engine.layers.declare({ name: LAYER, kind: 'current' })
  }

  /**
   * @param key the header's value
   * @throws bad_request, idempotency_key_reused, idempotency_in_progress; what `run` throws
   */
  async run(
    key: string,
    request: BoundRequest,
    call: RouteCall,
    run: () => Promise<Json | Reply>,
  ): Promise<Json | Reply> {
    if (!FORM.test(key))
      throw new Kv4Error('bad_request', {
        fields: { path: 'Idempotency-Key', reason: 'is not 1 to 255 printable ASCII characters' },
      })
    const { pepper } = this.#options
    const owner = `${request.bucket.name}\0${request.principal.login}\0${key}`
    const id = pepper.mac('idempotency-key', owner).toString('base64url')
    const asked = pepper.mac('idempotent-request', print(request, call)).toString('base64url')
    // Of those that come at once one goes on, and the others take its answer.
    for (let other = this.#underWay.get(id); other !== undefined; other = this.#underWay.get(id)) {
      if (other.asked !== asked) throw new Kv4Error('idempotency_key_reused')
      await other.end.catch(() => undefined)
    }
    const end = this.#attempt({ id, asked, owner }, request, run)
    this.#underWay.set(id, { asked, end })
    try {
      return await end
    } finally {
      this.#underWay.delete(id)
    }
  }

  async #attempt(
    { id, asked, owner }: { readonly id: string; readonly asked: string; readonly owner: string },
    request: BoundRequest,
    run: () => Promise<Json | Reply>,
  ): Promise<Json | Reply> {
    const { engine, pepper, onBackgroundError } = this.#options
    const seal = new Seal(pepper.mac('idempotent-answer', owner))
    const bucket = engine.bucket(request.bucket.name)
    const address: Address = { layer: LAYER, path: Path.root, key: Key.parse(id) }
    const by = request.principal.login
    const claimed = await this.#claim(bucket, address, { asked, by })
    if ('answer' in claimed) return replay(seal.open(claimed.answer))

    const { startedAt, first, n } = claimed
    request.mark({ id: id.slice(0, 22), startedAt, since: startedAt - CLOCKS_MS, first })
    let outcome: Outcome | undefined
    try {
      const result = await run()
      outcome = outcomeOf(result)
      return result
    } catch (error) {
      if (isKv4Error(error) && isVerdict(error)) outcome = { error: error.code, fields: error.fields }
      throw error
    } finally {
      // Without a verdict the next attempt may begin at once.
      const answer = outcome === undefined ? undefined : seal.close(outcome)
      const record: RequestRecord = { asked, startedAt, ...(answer !== undefined && { answer }) }
      await bucket
        .put(address, record as unknown as Json, { by, ttl: KEPT_MS, expect: { n } })
        .catch((error: unknown) => {
          // The account that was asked to go has gone; or another attempt took over, and keeps what it finds.
          if (!isKv4Error(error, 'bucket_not_found') && !isKv4Error(error, 'version_conflict'))
            onBackgroundError(error)
        })
    }
  }

  async #claim(
    bucket: Bucket,
    address: Address,
    { asked, by }: { readonly asked: string; readonly by: string },
  ): Promise<
    { readonly answer: string } | { readonly startedAt: number; readonly first: boolean; readonly n: number }
  > {
    const { epoch } = this.#options
    for (;;) {
      const version = await bucket.get(address, { consistent: true })
      const known = version?.v as unknown as RequestRecord | undefined
      if (known !== undefined && known.asked !== asked) throw new Kv4Error('idempotency_key_reused')
      if (known?.answer !== undefined) return { answer: known.answer }
      if (known?.attempt !== undefined && !this.#isOver(known.attempt, version!.at))
        throw new Kv4Error('idempotency_in_progress', { retryAfter: 1 })
      const startedAt = known?.startedAt ?? Date.now()
      const record: RequestRecord = { asked, startedAt, attempt: epoch }
      try {
        const { n } = await bucket.put(address, record as unknown as Json, {
          by,
          ttl: KEPT_MS,
          expect: version === undefined ? 'absent' : { n: version.n },
        })
        return { startedAt, first: known === undefined, n }
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
      }
    }
  }

  /** Ours are over when we come here: of this node there is one attempt at a time. */
  #isOver(attempt: string, at: number): boolean {
    const { exclusive, epoch } = this.#options
    return exclusive || attempt === epoch || at + UNDER_WAY_MS < Date.now()
  }
}

/** What has to be the same for two requests to be one. */
function print(request: BoundRequest, { bound, route, path }: RouteCall): string {
  const query = Object.entries(request.query ?? {}).sort(([a], [b]) => (a < b ? -1 : 1))
  const { body = null, ifMatch = null, ifNoneMatch = null } = request
  return JSON.stringify([route.method, bound.service.prefix, path, query, body, ifMatch, ifNoneMatch])
}

/** The same request would be answered so again, whenever it came. */
function isVerdict({ code }: Kv4Error): boolean {
  const status = statusOf(code)
  return status < 500 && status !== 401 && status !== 429 && code !== 'locked'
}

function outcomeOf(result: Json | Reply): Outcome | undefined {
  if (!(result instanceof Reply)) return { value: result }
  const { value, more } = result
  const { tag, created, next, stream } = more
  if (stream !== undefined) return undefined
  return {
    value,
    ...(tag !== undefined && { tag }),
    ...(created !== undefined && { created }),
    ...(next !== undefined && { next }),
  }
}

function replay(outcome: Outcome): Reply {
  if ('error' in outcome) throw new Kv4Error(outcome.error, { fields: outcome.fields })
  const { value, ...more } = outcome
  return new Reply(value, more)
}

const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * Answers may hold secrets that are shown once, so they are kept under a key that is made of the pepper and the
 * Idempotency-Key, of which the store has neither. AES-256-GCM: nonce, tag, text.
 */
class Seal {
  constructor(private readonly key: Buffer) {}

  /** undefined: too long to be kept. */
  close(outcome: Outcome): string | undefined {
    const text = JSON.stringify(outcome)
    if (text.length > MAX_ANSWER) return undefined
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.key, nonce)
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
    return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64')
  }

  open(answer: string): Outcome {
    const bytes = Buffer.from(answer, 'base64')
    const decipher = createDecipheriv('aes-256-gcm', this.key, bytes.subarray(0, NONCE_BYTES))
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
    const text = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
    return JSON.parse(text.toString('utf8')) as Outcome
  }
}
