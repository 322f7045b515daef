import http from 'node:http'
import https from 'node:https'
import { Kv4Error } from '../../errors'
import type { ChangeRow } from './change-row'
import type { CouchDatabase } from './couch-database'
import { CouchError, translated, unavailable } from './couch-error'

const HEARTBEAT_MS = 2000
/** Silence after which the connection counts as dead. */
const SILENCE_MS = 3 * HEARTBEAT_MS
const NEWLINE = 0x0a
const MOST_ERROR_BYTES = 64 * 1024

/** What one read of the stream brought: rows, or none when it was a heartbeat. */
export type ChangeLines = readonly ChangeRow[]

/**
 * One connection to the continuous `_changes` feed, ended by an error, by CouchDB, or by the signal. `documents`: each row
 * brings its document; otherwise the revisions of its branches.
 *
 * Plain http and not nano: nano pipes such a stream without its errors, so that a connection that breaks would be an
 * uncaught exception, and gives no way to pause it. Here nothing is read while the consumer is busy.
 */
export async function* changeStream(
  database: CouchDatabase,
  since: string,
  documents: boolean,
  signal: AbortSignal,
): AsyncGenerator<ChangeLines> {
  const response = await connect(database, since, documents, signal)
  try {
    if (response.statusCode !== 200) throw await refusal(response)
    let rest: Buffer[] = []
    const chunks = response[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    for (;;) {
      const chunk = await withinSilence(chunks.next(), response)
      if (chunk === undefined) return
      const end = chunk.lastIndexOf(NEWLINE)
      if (end === -1) {
        rest.push(chunk)
        continue
      }
      const text = Buffer.concat([...rest, chunk.subarray(0, end)]).toString('utf8')
      rest = [chunk.subarray(end + 1)]
      const rows: ChangeRow[] = []
      for (const line of text.split('\n')) {
        if (line.trim() === '') continue
        const row = parse(line)
        if (row.id !== undefined) rows.push(row as ChangeRow)
      }
      yield rows
    }
  } catch (error) {
    if (signal.aborted) return
    throw error instanceof Kv4Error || error instanceof CouchError
      ? error
      : unavailable(`the feed broke: ${(error as Error).message}`, error)
  } finally {
    response.destroy()
  }
}

function parse(line: string): Partial<ChangeRow> {
  try {
    return JSON.parse(line) as Partial<ChangeRow>
  } catch (error) {
    throw unavailable('the feed sent a line that is not JSON', error)
  }
}

function connect(
  database: CouchDatabase,
  since: string,
  documents: boolean,
  signal: AbortSignal,
): Promise<http.IncomingMessage> {
  const { url, authorization } = database.client.endpoint
  const query = new URLSearchParams({
    feed: 'continuous',
    ...(documents ? { include_docs: 'true', conflicts: 'true' } : { style: 'all_docs' }),
    heartbeat: String(HEARTBEAT_MS),
    since,
  })
  const target = new URL(`${url}/${encodeURIComponent(database.name)}/_changes?${query.toString()}`)
  return new Promise((resolve, reject) => {
    const request = (target.protocol === 'https:' ? https : http).get(target, {
      agent: false,
      signal,
      headers: {
        accept: 'application/json',
        ...(authorization === undefined ? {} : { authorization }),
      },
    })
    // A feed that starts with nothing to tell answers with its first heartbeat.
    request.setTimeout(SILENCE_MS, () => request.destroy(new Error('no answer')))
    request.once('response', (response) => {
      request.setTimeout(0)
      // Errors after this come out of the response's iterator.
      request.on('error', () => undefined)
      resolve(response)
    })
    request.once('error', (error) => reject(unavailable(`the feed cannot connect: ${error.message}`, error)))
  })
}

/** undefined at the end of the stream. */
async function withinSilence(
  next: Promise<IteratorResult<Buffer, unknown>>,
  response: http.IncomingMessage,
): Promise<Buffer | undefined> {
  const timer = setTimeout(() => response.destroy(new Error('silence')), SILENCE_MS)
  try {
    const { done, value } = await next
    return done ? undefined : value
  } finally {
    clearTimeout(timer)
  }
}

async function refusal(response: http.IncomingMessage): Promise<Error> {
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) {
    text += chunk as string
    if (text.length > MOST_ERROR_BYTES) break
  }
  let said: { error?: string; reason?: string } = {}
  try {
    said = JSON.parse(text) as typeof said
  } catch {
    said = { reason: text.slice(0, 200) }
  }
  return translated(Object.assign(new Error(said.reason), { statusCode: response.statusCode, ...said }))
}
