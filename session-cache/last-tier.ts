import { createHash } from 'node:crypto'
import type { Kv4Configuration } from './configuration'
import { SessionCacheError } from './errors'
import type { Session } from './session'

/** What stands behind all caches. */
export interface LastTier {
  /** A session that left the last cache. */
  keep(session: Session): Promise<void>
  find(key: string): Promise<Session | undefined>
  remove(key: string): Promise<void>
}

const PLACE = '/_sess/session-cache'
/** The one namespace that a session has there. */
const NAMESPACE = 'session'
const NEGATIVES = 10_000
/** Nine years in seconds: the longest life that `_sess` takes, and what a session without an end gets. */
const LONGEST_TTL = 9 * 365 * 24 * 3600
/** A segment of a path. */
const NAME_BYTES = 255

/**
 * A KV4 account as the last tier, over HTTP. A session is one of the account's service `_sess`, below `/session-cache`,
 * with what is left of its life as `ttl`; what it holds is in one namespace, `{value, at, exp}`.
 *
 * Lookups of one key that come together are one request; "there is none" is believed for `negative_ms`.
 */
export class Kv4LastTier implements LastTier {
  readonly #looking = new Map<string, Promise<Session | undefined>>()
  readonly #missing = new Map<string, number>()
  readonly #authorization: string
  readonly #base: string

  constructor(private readonly configuration: Kv4Configuration) {
    const { url, user, secret } = configuration
    this.#authorization = 'Basic ' + Buffer.from(`${user}:${secret}`).toString('base64')
    this.#base = url.replace(/\/+$/, '')
  }

  async keep(session: Session): Promise<void> {
    if (session.value === null) {
      await this.remove(session.key)
      return
    }
    const seconds = session.exp === 0 ? LONGEST_TTL : (session.exp - Date.now()) / 1000
    if (seconds <= 0) return
    const { value, at, exp } = session
    const response = await this.#call('PUT', placeOf(session.key), {
      k: NAMESPACE,
      v: { value, at, exp },
      // Said always: without one the session would keep the life that an older copy of it had.
      ttl: Math.min(LONGEST_TTL, Math.ceil(seconds)),
    })
    if (!response.ok) throw refused(response)
    this.#missing.delete(session.key)
    this.#looking.delete(session.key)
  }

  find(key: string): Promise<Session | undefined> {
    const until = this.#missing.get(key)
    if (until !== undefined) {
      if (until > Date.now()) return Promise.resolve(undefined)
      this.#missing.delete(key)
    }
    let looking = this.#looking.get(key)
    if (looking === undefined) {
      const asked = this.#find(key)
      looking = asked.then((found) => {
        // Kept since the question was sent: then "there is none" is old news.
        if (found === undefined && this.#looking.get(key) === looking) this.#miss(key)
        return found
      })
      this.#looking.set(key, looking)
      const forget = () => {
        if (this.#looking.get(key) === looking) this.#looking.delete(key)
      }
      looking.then(forget, forget)
    }
    return looking
  }

  async remove(key: string): Promise<void> {
    const response = await this.#call('DELETE', placeOf(key))
    // Without a namespace: the session and all that belongs to it; none there is no error.
    if (!response.ok) throw refused(response)
    this.#miss(key)
  }

  async #find(key: string): Promise<Session | undefined> {
    const response = await this.#call('GET', `${placeOf(key)}?k=${NAMESPACE}`)
    if (response.code === 'not_found') return undefined
    if (!response.ok) throw refused(response)
    const { value, at, exp } = readDocument(response.v)
    if (exp !== 0 && exp <= Date.now()) return undefined
    return { key, value, at, exp }
  }

  #miss(key: string): void {
    this.#missing.set(key, Date.now() + this.configuration.negative_ms)
    if (this.#missing.size > NEGATIVES) this.#missing.delete(this.#missing.keys().next().value!)
  }

  async #call(method: string, target: string, body?: object): Promise<Answer> {
    try {
      const response = await fetch(this.#base + target, {
        method,
        headers: {
          Authorization: this.#authorization,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        redirect: 'error',
        signal: AbortSignal.timeout(this.configuration.timeout_ms),
      })
      const { v, s } = (await response.json()) as { v: unknown; s: string }
      const ok = s === 'ok'
      return { ok, status: response.status, v, code: ok ? undefined : String(v) }
    } catch (error) {
      throw new SessionCacheError('last_tier', undefined, error)
    }
  }
}

interface Answer {
  readonly ok: boolean
  readonly status: number
  readonly v: unknown
  /** Of an error. */
  readonly code: string | undefined
}

function placeOf(key: string): string {
  return `${PLACE}/${encodeURIComponent(nameOf(key))}`
}

/** What cannot be a segment of a path goes by its hash. */
function nameOf(key: string): string {
  const fits =
    key.isWellFormed() &&
    !/[/\u0000-\u001f\u007f-\u009f]/.test(key) &&
    key !== '.' &&
    key !== '..' &&
    Buffer.byteLength(key) <= NAME_BYTES &&
    !key.startsWith('sha256:')
  return fits ? key : 'sha256:' + createHash('sha256').update(key).digest('hex')
}

function refused(answer: Answer): SessionCacheError {
  return new SessionCacheError('last_tier', `${answer.status} ${answer.code ?? ''}`)
}

function readDocument(v: unknown): { value: string; at: number; exp: number } {
  const { value, at, exp } = v as Record<string, unknown>
  if (typeof value !== 'string' || typeof at !== 'number' || typeof exp !== 'number')
    throw new SessionCacheError('last_tier', 'the entry is not a session')
  return { value, at, exp }
}
