import type { IncomingMessage, ServerResponse } from 'node:http'
import { Kv4Error, isKv4Error } from '../core'
import type { StreamEvent } from '../services/module'
import { errorText } from './envelope'
import type { OpenStreams } from './open-streams'

/** How often a silent stream shows that it is alive. */
const BEAT = { everyMs: 15_000, text: ':\n\n' } as const

/** What a client waits, in ms, before it comes back. */
const RETRY_MS = 1_000

/** The caller asks for server-sent events. */
export function wantsEvents(request: IncomingMessage): boolean {
  const { accept } = request.headers
  return accept !== undefined && /(?:^|,)\s*text\/event-stream\s*(?:[;,]|$)/i.test(accept)
}

/** One event in the format of server-sent events. JSON has no line breaks of its own, so `data` is one line. */
export function eventText({ id, event, data }: StreamEvent): string {
  return (
    (id === undefined ? '' : `id: ${id}\n`) +
    (event === undefined ? '' : `event: ${event}\n`) +
    `data: ${JSON.stringify(data)}\n\n`
  )
}

async function* texts(events: AsyncIterable<StreamEvent>): AsyncGenerator<string, void, undefined> {
  yield `retry: ${RETRY_MS}\n\n`
  for await (const event of events) yield eventText(event)
}

/**
 * Answers with a stream of server-sent events. An error on the way is told as `event: error` with the envelope of the
 * error, then the stream ends; `failed` hears of it.
 */
export async function sendEventStream(
  response: ServerResponse,
  events: AsyncIterable<StreamEvent>,
  options: {
    readonly streams: OpenStreams
    /** Name, value, name, value … */
    readonly headers: readonly string[]
    readonly head: boolean
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
    return
  }
  response.flushHeaders()
  try {
    await options.streams.send(response, texts(events), { beat: BEAT })
  } catch (cause) {
    const error = isKv4Error(cause) ? cause : new Kv4Error('internal', { cause })
    options.failed(error)
    response.end(`event: error\ndata: ${errorText(error)}\n\n`)
  }
}
