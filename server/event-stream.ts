import type { IncomingMessage, ServerResponse } from 'node:http'
import { Kv4Error, isKv4Error } from '../core'
import type { EventSource, StreamEvent } from '../services/module'
import { errorText } from './envelope'
import type { OpenStreams } from './open-streams'

/** A silent stream shows that it is alive. */
const BEAT = ':\n\n'

/** What a stream that was cut has for its last words, ms. */
const FAREWELL_MS = 5_000

/** What a client waits, in ms, before it comes back. */
const RETRY_MS = 1_000

/** The caller asks for server-sent events. */
export function wantsEvents(request: IncomingMessage): boolean {
  const { accept } = request.headers
  return accept !== undefined && /(?:^|,)\s*text\/event-stream\s*(?:[;,]|$)/i.test(accept)
}

/**
 * One event in the format of server-sent events. JSON has no line breaks of its own, so `data` is one line. One without
 * `data` is a comment that moves the reader's last event id.
 */
export function eventText({ id, event, data, text }: StreamEvent): string {
  const where = id === undefined ? '' : `id: ${id}\n`
  if (data === undefined) return `:\n${where}\n`
  return (
    where + (event === undefined ? '' : `event: ${event}\n`) + `data: ${text ?? JSON.stringify(data)}\n\n`
  )
}

/**
 * Answers with a stream of server-sent events. An error on the way is told as `event: error` with the envelope of the
 * error, then the stream ends; `failed` hears of it.
 */
export async function sendEventStream(
  response: ServerResponse,
  events: EventSource,
  options: {
    readonly streams: OpenStreams
    /** Name, value, name, value … */
    readonly headers: readonly string[]
    readonly head: boolean
    /** Why the events ended before their time; asked when they have. */
    ended(): Kv4Error | undefined
    failed(error: Kv4Error): void
  },
): Promise<void> {
  response.writeHead(200, [
    'Content-Type',
    'text/event-stream; charset=utf-8',
    'Cache-Control',
    'no-store',
    'X-Content-Type-Options',
    'nosniff',
    // nginx would hold the events back otherwise.
    'X-Accel-Buffering',
    'no',
    ...options.headers,
  ])
  if (options.head) {
    response.end()
    void events[Symbol.asyncIterator]().return?.()
    return
  }
  response.flushHeaders()
  response.write(`retry: ${RETRY_MS}\n\n`)
  const beat = () => {
    const id = events.position?.()
    return id === undefined ? BEAT : eventText({ id })
  }
  try {
    await options.streams.send(response, events, { beat, text: eventText, resumable: true })
    const ended = options.ended()
    if (ended !== undefined) throw ended
    response.end()
  } catch (cause) {
    const error = isKv4Error(cause) ? cause : new Kv4Error('internal', { cause })
    options.failed(error)
    response.end(`event: error\ndata: ${errorText(error)}\n\n`)
    // Who does not read does not notice the end either.
    setTimeout(() => {
      if (!response.closed) response.destroy()
    }, FAREWELL_MS).unref()
  }
}
