import { printBasicHeader } from '../auth/basic-header'
import type { Method } from '../services/module'
import type { Destination } from './destination'
import { CliFailure, EXIT } from './failure'

export interface Call {
  readonly method: Method
  /** Path and query, encoded: requestTarget makes one. */
  readonly target: string
  /** JSON text. */
  readonly body?: string
  readonly timeoutMs: number
}

/** A reply of the platform. */
export interface Answer {
  readonly ok: boolean
  /** As it came. */
  readonly text: string
  /** The envelope: `{v, s, d?, next?}`. */
  readonly envelope: Readonly<Record<string, unknown>>
  readonly status: number
  /** As the server asks to wait before another try. */
  readonly retryAfter?: string
}

/**
 * One request. Redirects are not followed: the credential is for the server that was named.
 * @throws CliFailure `unreachable` when there is no answer, or one that is not the platform's
 */
export async function send({ url, login }: Destination, call: Call): Promise<Answer> {
  let response: Response
  let text: string
  try {
    response = await fetch(url + call.target, {
      method: call.method,
      headers: {
        accept: 'application/json',
        ...(login === undefined ? {} : { authorization: printBasicHeader(login) }),
        ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(call.body === undefined ? {} : { body: call.body }),
      redirect: 'manual',
      signal: AbortSignal.timeout(call.timeoutMs),
    })
    text = await response.text()
  } catch (error) {
    throw unreachable(url, error, call.timeoutMs)
  }
  const envelope = parseEnvelope(text)
  if (envelope === undefined)
    throw new CliFailure(
      EXIT.unreachable,
      `${url} answered (status ${response.status}), but not as KV4 does`,
      'Check --url: is there another server, or a proxy in between?',
    )
  const retryAfter = response.headers.get('retry-after')
  return {
    ok: envelope['s'] === 'ok',
    text,
    envelope,
    status: response.status,
    ...(retryAfter === null ? {} : { retryAfter }),
  }
}

function parseEnvelope(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed = JSON.parse(text) as unknown
    if (typeof parsed !== 'object' || parsed === null) return undefined
    const envelope = parsed as Readonly<Record<string, unknown>>
    return envelope['s'] === 'ok' || envelope['s'] === 'error' ? envelope : undefined
  } catch {
    return undefined
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the host name cannot be looked up now',
  ECONNRESET: 'the connection was cut',
  UND_ERR_SOCKET: 'the connection was cut',
  EHOSTUNREACH: 'there is no way to that host',
  ENETUNREACH: 'there is no way to that network',
}

function unreachable(url: string, error: unknown, timeoutMs: number): CliFailure {
  const failure = error as Error & { cause?: NodeJS.ErrnoException & { errors?: NodeJS.ErrnoException[] } }
  if (failure.name === 'TimeoutError')
    return new CliFailure(
      EXIT.unreachable,
      `${url} did not answer within ${timeoutMs / 1000} s`,
      'A write may or may not have happened. --timeout waits longer.',
    )
  const cause = failure.cause?.errors?.[0] ?? failure.cause
  const reason = REASONS[cause?.code ?? ''] ?? cause?.message ?? failure.message
  return new CliFailure(
    EXIT.unreachable,
    `cannot connect to ${url}: ${reason}`,
    'Is the server running (kv4 serve), and is this its --url?',
  )
}
