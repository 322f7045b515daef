import { Agent, errors } from 'undici'
import type { WebhookAnswer, WebhookCall, WebhookFailure } from '../../services/webhook-sender'
import { ConnectError, checkedConnector } from './connector'
import { DestinationError } from './destinations'
import type { Destinations } from './destinations'

// Nobody reads the answers: more than this is not even thrown away.
const MAX_RESPONSE_BYTES = 64 * 1024
const MAX_HEADER_BYTES = 16 * 1024
const MAX_RETRY_AFTER_SECONDS = 24 * 3600

/**
 * Posts to URLs of strangers: only to addresses that are allowed at the moment of connecting, without redirects, within
 * a time, and with little of what they answer. A status counts as soon as it is there, whatever follows it.
 */
export class WebhookClient {
  // As many connections to one origin as calls are under way: it may be that of many accounts, and a limit would let one
  // of them hold up the others.
  readonly #agent: Agent

  constructor(destinations: Destinations) {
    this.#agent = new Agent({
      connect: checkedConnector(destinations),
      pipelining: 1,
      maxHeaderSize: MAX_HEADER_BYTES,
      maxResponseSize: MAX_RESPONSE_BYTES,
    })
  }

  async post({ url, headers, body, timeoutMs, signal }: WebhookCall): Promise<WebhookAnswer> {
    const late = AbortSignal.timeout(timeoutMs)
    const either = AbortSignal.any([late, signal])
    const { origin, pathname, search } = new URL(url)
    try {
      const answer = await this.#agent.request({
        origin,
        path: pathname + search,
        method: 'POST',
        headers: { ...headers },
        body,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        signal: either,
      })
      // Read to its end if that is near, so that the connection can be used again.
      answer.body.resume()
      answer.body.on('error', () => undefined)
      const retryAfter = retryAfterMs(answer.headers['retry-after'])
      return {
        kind: 'answered',
        status: answer.statusCode,
        ...(retryAfter !== undefined && { retryAfter }),
      }
    } catch (error) {
      if (signal.aborted) return { kind: 'given up' }
      return { kind: 'failed', reason: late.aborted ? 'timeout' : failure(error) }
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy()
  }
}

function failure(error: unknown): WebhookFailure {
  if (error instanceof ConnectError)
    return error.cause instanceof DestinationError
      ? 'forbidden address'
      : error.cause instanceof errors.ConnectTimeoutError
        ? 'timeout'
        : 'no connection'
  if (error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError)
    return 'timeout'
  return 'connection lost'
}

/** Of seconds; dates are of clocks that nobody knows. */
function retryAfterMs(header: string | string[] | undefined): number | undefined {
  return typeof header === 'string' && /^\d{1,9}$/.test(header)
    ? Math.min(Number(header), MAX_RETRY_AFTER_SECONDS) * 1000
    : undefined
}
