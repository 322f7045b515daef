import { timingSafeEqual } from 'node:crypto'
import { CALLER_HEADER, FORMAT, signatureOf, targetDigest } from './caller'
import type { Caller, SignedCall } from './caller'

/** As node's `IncomingMessage` has them; under Express `originalUrl` is what was sent. */
export interface CalledRequest {
  readonly method?: string | undefined
  readonly url?: string | undefined
  readonly originalUrl?: string | undefined
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

export interface VerifyOptions {
  /** How old a call may be, and how far ahead the platform's clock, in ms. Default 60,000. */
  readonly maxAgeMs?: number
  /** Unix ms; for tests. Default Date.now. */
  readonly clock?: () => number
}

/** The call was not made by the platform, or not now, or not to here: answer 401 and do nothing. */
export class CallerError extends Error {
  constructor(reason: string) {
    super(`not a call of the platform: ${reason}`)
    this.name = 'CallerError'
  }
}

/**
 * Who is calling, when the platform says so: the signature is right under the key that the registration was answered
 * with, it is fresh, and it was made for this method and this URL. The body is not signed. A call that is sent a second
 * time within `maxAgeMs` by somebody who saw it is not noticed here: use a `CallerVerifier`.
 * @throws CallerError
 */
export function verifyCaller(request: CalledRequest, key: string, options: VerifyOptions = {}): Caller {
  return callerOf(signedCall(request, key, options))
}

/** The same, and it takes each call once. Keep one for as long as the service runs. */
export class CallerVerifier {
  /** Until when a nonce has to be remembered, in unix ms; oldest first. */
  readonly #seen = new Map<string, number>()

  constructor(
    private readonly key: string | (() => string),
    private readonly options: VerifyOptions = {},
  ) {}

  /** @throws CallerError */
  verify(request: CalledRequest): Caller {
    const { maxAgeMs = MAX_AGE_MS, clock = Date.now } = this.options
    const key = typeof this.key === 'string' ? this.key : this.key()
    const call = signedCall(request, key, this.options)
    const now = clock()
    for (const [nonce, until] of this.#seen) {
      if (until > now) break
      this.#seen.delete(nonce)
    }
    if (this.#seen.has(call.nonce)) throw new CallerError('sent before')
    // As late as it could still be taken for fresh.
    this.#seen.set(call.nonce, now + 2 * maxAgeMs)
    return callerOf(call)
  }
}

const MAX_AGE_MS = 60_000

function signedCall(
  request: CalledRequest,
  key: string,
  { maxAgeMs = MAX_AGE_MS, clock = Date.now }: VerifyOptions,
): SignedCall {
  const header = request.headers[CALLER_HEADER]
  if (typeof header !== 'string') throw new CallerError(`no ${CALLER_HEADER} header`)
  const [format, payload, signature, ...rest] = header.split('.')
  if (format !== FORMAT || payload === undefined || signature === undefined || rest.length > 0)
    throw new CallerError(`the ${CALLER_HEADER} header is not of a form that is known here`)
  const sent = Buffer.from(signature, 'base64url')
  const right = signatureOf(`${format}.${payload}`, key)
  if (sent.length !== right.length || !timingSafeEqual(sent, right))
    throw new CallerError('a wrong signature')
  const call = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as SignedCall
  if (Math.abs(clock() - call.at) > maxAgeMs) throw new CallerError('too old, or the clocks differ')
  if (call.method !== request.method) throw new CallerError('made for another method')
  if (call.target !== targetDigest(request.originalUrl ?? request.url ?? ''))
    throw new CallerError('made for another URL')
  return call
}

function callerOf({
  at: _at,
  nonce: _nonce,
  method: _method,
  target: _target,
  ...caller
}: SignedCall): Caller {
  return Object.freeze(caller)
}
