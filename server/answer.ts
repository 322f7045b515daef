import type { ServerResponse } from 'node:http'
import type { Outbox } from './outbox'

/** What every answer of the API carries: promises.md §4. */
const FIXED = [
  'Content-Type',
  'application/json; charset=utf-8',
  'Cache-Control',
  'no-store',
  'X-Content-Type-Options',
  'nosniff',
  'Content-Security-Policy',
  "default-src 'none'",
] as const

const CROSS_ORIGIN = [
  'Access-Control-Allow-Origin',
  '*',
  'Access-Control-Expose-Headers',
  'ETag, Retry-After, X-Request-Id',
] as const

/** Browsers' preflight: contract §1. Credentials travel in `Authorization`, never in cookies, so any origin may ask. */
export const PREFLIGHT = [
  'Access-Control-Allow-Headers',
  'Authorization, Content-Type, X-Requested-With, If-Match, If-None-Match, Idempotency-Key, X-Request-Id',
  'Access-Control-Allow-Methods',
  'GET, HEAD, PUT, POST, PATCH, DELETE, OPTIONS',
  'Access-Control-Max-Age',
  '600',
] as const

export interface AnswerOptions {
  readonly requestId: string
  /** The request has an Origin header. */
  readonly crossOrigin: boolean
  /** The connection ends with this answer. */
  readonly last: boolean
  /** Name, value, name, value … */
  readonly headers?: readonly string[] | undefined
}

/** Sends one JSON text with its length and the headers of the API. Node leaves the body out for HEAD. */
export function sendAnswer(
  outbox: Outbox,
  response: ServerResponse,
  status: number,
  text: string,
  { requestId, crossOrigin, last, headers }: AnswerOptions,
): void {
  const all: string[] = [...FIXED, 'X-Request-Id', requestId]
  const length = Buffer.byteLength(text)
  // Not Modified tells nothing of the body that it stands for.
  if (status !== 304) all.push('Content-Length', String(length))
  if (crossOrigin) all.push(...CROSS_ORIGIN)
  if (headers !== undefined) all.push(...headers)
  if (last) all.push('Connection', 'close')
  // The headers are ASCII. Where the body is, too, node need not look for what takes more than a byte.
  const encoding = length === text.length ? 'latin1' : 'utf8'
  outbox.add(response, status, all, status === 304 ? undefined : text, encoding)
}
