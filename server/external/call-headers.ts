import type { IncomingHttpHeaders } from 'node:http'
import { CALLER_HEADER, TOKEN_HEADER } from '../../service'

/** Belong to one connection: RFC 9110 §7.6.1. */
const HOP_BY_HOP = [
  'connection',
  'expect',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]

/** What proves who is calling, and what anybody may claim of where he comes from: the signed header says both. */
const NOT_PASSED_ON = new Set([
  ...HOP_BY_HOP,
  'authorization',
  'cookie',
  'forwarded',
  'host',
  'via',
  'x-real-ip',
])

/** The platform answers these itself, or a service could set them for every other one. */
const NOT_PASSED_BACK = new Set([
  ...HOP_BY_HOP,
  'alt-svc',
  'clear-site-data',
  'content-security-policy',
  'cross-origin-opener-policy',
  'public-key-pins',
  'refresh',
  'service-worker-allowed',
  'set-cookie',
  'set-cookie2',
  'strict-transport-security',
  'www-authenticate',
  'x-content-type-options',
  'x-powered-by',
  'x-request-id',
])

export interface SignedHeaders {
  readonly caller: string
  readonly token: string | undefined
  readonly requestId: string
}

/** The headers of a call to a service: those of the caller without what is not its business, and who he is. */
export function forwardedHeaders(
  headers: IncomingHttpHeaders,
  { caller, token, requestId }: SignedHeaders,
): Record<string, string | string[]> {
  const named = namedIn(headers.connection)
  const forwarded: Record<string, string | string[]> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || NOT_PASSED_ON.has(name) || named.has(name)) continue
    if (name.startsWith('x-forwarded-') || name.startsWith('kv4-')) continue
    forwarded[name] = value
  }
  forwarded[CALLER_HEADER] = caller
  if (token !== undefined) forwarded[TOKEN_HEADER] = token
  forwarded['x-request-id'] = requestId
  return forwarded
}

/** The headers of an answer, as name, value, name, value …: those of the service that it may send, and the platform's. */
export function returnedHeaders(
  headers: IncomingHttpHeaders,
  {
    requestId,
    crossOrigin,
    last,
  }: { readonly requestId: string; readonly crossOrigin: boolean; readonly last: boolean },
): string[] {
  const named = namedIn(headers.connection)
  const returned: string[] = []
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || NOT_PASSED_BACK.has(name) || named.has(name)) continue
    if (name.startsWith('access-control-') || name.startsWith('kv4-')) continue
    for (const each of Array.isArray(value) ? value : [value]) returned.push(name, each)
  }
  if (headers['cache-control'] === undefined) returned.push('Cache-Control', 'no-store')
  returned.push('X-Content-Type-Options', 'nosniff', 'X-Request-Id', requestId)
  // A service is an API, not a site: what it answers must not run under the platform's origin.
  returned.push('Content-Security-Policy', "default-src 'none'; sandbox")
  if (crossOrigin)
    returned.push(
      'Access-Control-Allow-Origin',
      '*',
      'Access-Control-Expose-Headers',
      'ETag, Retry-After, X-Request-Id',
    )
  if (last) returned.push('Connection', 'close')
  return returned
}

/** Headers that a Connection header names belong to the connection too. */
function namedIn(connection: string | undefined): ReadonlySet<string> {
  return new Set(connection?.split(',').map((name) => name.trim().toLowerCase()) ?? [])
}
