import { EventReader } from './event-reader'
import { GatewayError } from './gateway'

/** A change: docs/watching.md. */
export interface Change {
  readonly type: 'create' | 'update' | 'delete' | 'sample'
  readonly path: string
  readonly k: string
  readonly layer: string
  readonly version: string
  readonly by: string
  /** Unix ms. */
  readonly at: number
  readonly v?: unknown
  readonly prev?: { readonly version: string; readonly by: string; readonly at: number; readonly v?: unknown }
  readonly [more: string]: unknown
}

/** A change and where to go on behind it. */
export interface WatchedChange {
  readonly change: Change
  readonly cursor: string
}

export interface WatchOptions {
  /** Without a trailing slash. */
  readonly url: string
  /** Sent with each request: `Authorization` above all. */
  readonly headers: Readonly<Record<string, string>>
  /** Path and query, encoded, without `watch` and `since`: `/_data/my/path?k=colour`. */
  readonly target: string
  /** Absent: from now; `0`: all history that is kept. */
  readonly since?: string
  /** Ends the watch. */
  readonly signal?: AbortSignal
  /** Told before it tries again, with what went wrong. */
  readonly onReconnect?: (reason: string, waitMs: number) => void
}

const FIRST_WAIT_MS = 500
const LAST_WAIT_MS = 15_000
/** The server beats more often; a connection that says nothing for so long is dead. */
const SILENCE_MS = 90_000
/** Codes of refusals that are worth another try; every other one is final. */
export const TRY_AGAIN: ReadonlySet<string> = new Set([
  'store_unavailable',
  'overloaded',
  'too_many_requests',
  'reader_too_slow',
  'internal',
])

/**
 * Changes as they happen, and those since a cursor; comes back by itself, behind the last change, when the connection
 * breaks.
 * @throws GatewayError for a refusal that another try would not change: bad_cursor, unauthorized, forbidden …
 */
export async function* watchChanges(options: WatchOptions): AsyncGenerator<WatchedChange, void, undefined> {
  const { signal, onReconnect } = options
  const isEnded = () => signal?.aborted === true
  let cursor = options.since
  let waitMs = FIRST_WAIT_MS
  while (!isEnded()) {
    let reason: string
    try {
      for await (const { id, event, data } of events(options, cursor)) {
        waitMs = FIRST_WAIT_MS
        if (event === 'error') throw refusalOf(data ?? '')
        if (id !== '') cursor = id
        if (data !== undefined) yield { change: JSON.parse(data) as Change, cursor: id }
      }
      reason = 'the server ended the stream'
    } catch (error) {
      if (isEnded()) return
      if (error instanceof GatewayError && !TRY_AGAIN.has(error.code)) throw error
      reason = error instanceof Error ? error.message : String(error)
    }
    if (isEnded()) return
    onReconnect?.(reason, waitMs)
    await pause(waitMs, signal)
    waitMs = Math.min(LAST_WAIT_MS, waitMs * 2)
  }
}

async function* events({ url, headers, target, signal }: WatchOptions, cursor: string | undefined) {
  const ending = new AbortController()
  const end = () => ending.abort()
  signal?.addEventListener('abort', end)
  let silence: ReturnType<typeof setTimeout> | undefined
  const heard = () => {
    clearTimeout(silence)
    silence = setTimeout(end, SILENCE_MS)
  }
  try {
    heard()
    const query = 'watch=1' + (cursor === undefined ? '' : `&since=${encodeURIComponent(cursor)}`)
    const response = await fetch(`${url}${target}${target.includes('?') ? '&' : '?'}${query}`, {
      headers: { ...headers, accept: 'text/event-stream' },
      redirect: 'manual',
      signal: ending.signal,
    })
    if (
      response.headers.get('content-type')?.startsWith('text/event-stream') !== true ||
      response.body === null
    )
      throw refusalOf(await response.text(), response.status)
    const reader = new EventReader()
    const decoder = new TextDecoder()
    const body = response.body.getReader()
    for (;;) {
      const { done, value } = (await body.read()) as { readonly done: boolean; readonly value?: Uint8Array }
      if (done) return
      heard()
      yield* reader.read(decoder.decode(value, { stream: true }))
    }
  } finally {
    clearTimeout(silence)
    signal?.removeEventListener('abort', end)
    ending.abort()
  }
}

/** Of an envelope; of anything else an error that is worth another try. */
function refusalOf(text: string, status = 0): Error {
  try {
    const { v, s } = JSON.parse(text) as { readonly v?: unknown; readonly s?: unknown }
    if (s === 'error' && typeof v === 'string') return new GatewayError(v, status)
    if (s === 'ok') return new GatewayError('bad_request', status)
  } catch {
    // A proxy in between, for instance.
  }
  return new Error(`an answer of status ${status} that is no stream`)
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal?.addEventListener('abort', done)
  })
}
