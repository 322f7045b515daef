import { isKv4Error, type ErrorCode, type Json } from '../../../core'
import type { MountReply } from '../../mount'
import { wholeOrParts } from '../../whole-or-parts'

type Headers = readonly (readonly [string, string])[]

/** What every answer carries beside what the original sends. */
const ALWAYS: Headers = [
  ['Cache-Control', 'no-store'],
  ['X-Content-Type-Options', 'nosniff'],
]
const INDENT = 2

export function json(status: number, value: Json, headers: Headers = []): MountReply {
  return {
    status,
    headers: [['Content-Type', 'application/json'], ...ALWAYS, ...headers],
    body: JSON.stringify(value, undefined, INDENT),
  }
}

export function empty(status: number, headers: Headers = []): MountReply {
  return { status, headers: [...ALWAYS, ...headers] }
}

export function text(status: number, said: string, headers: Headers = []): MountReply {
  return {
    status,
    headers: [['Content-Type', 'text/plain; charset=utf-8'], ...ALWAYS, ...headers],
    body: said,
  }
}

/** JSON that comes in parts. */
export async function jsonParts(parts: AsyncGenerator<string, void, undefined>): Promise<MountReply> {
  return {
    status: 200,
    headers: [['Content-Type', 'application/json'], ...ALWAYS],
    body: await wholeOrParts(parts),
  }
}

/** The members of an object, one after another, in the form that `json` has. */
export class ObjectText {
  #empty = true

  constructor(private readonly level = 0) {}

  member(name: string, value: Json): string {
    const shown = JSON.stringify(value, undefined, INDENT).replaceAll('\n', this.#line(1))
    return this.open(name) + shown
  }

  /** Up to where the value begins. */
  open(name: string): string {
    const before = this.#empty ? '{' : ','
    this.#empty = false
    return before + this.#line(1) + JSON.stringify(name) + ': '
  }

  end(): string {
    return this.#empty ? '{}' : this.#line(0) + '}'
  }

  #line(deeper: number): string {
    return '\n' + ' '.repeat(INDENT * (this.level + deeper))
  }
}

/** Statuses of errors of the platform; any other is 500. */
const STATUS: Readonly<Partial<Record<ErrorCode, number>>> = {
  bad_request: 400,
  bad_json: 400,
  bad_key: 400,
  bad_segment: 400,
  unauthorized: 401,
  forbidden: 403,
  limit_reached: 403,
  not_found: 404,
  method_not_allowed: 405,
  version_conflict: 409,
  body_too_large: 413,
  too_many_requests: 429,
  bucket_not_found: 503,
  locked: 503,
  overloaded: 503,
  store_unavailable: 503,
}
const SILENT: readonly number[] = [404, 405]

/**
 * A word where the original shows a traceback; nothing where it answers with an empty body.
 * @param allowed methods that the URL takes
 */
export function refuse(error: unknown, allowed: readonly string[]): MountReply {
  const status = (isKv4Error(error) ? STATUS[error.code] : undefined) ?? 500
  const headers: (readonly [string, string])[] = []
  if (status === 405) headers.push(['Allow', [...new Set(allowed)].join(', ')])
  if (status === 401) headers.push(['WWW-Authenticate', 'Basic realm="kv4", charset="UTF-8"'])
  if (status === 429 || status === 503) {
    const seconds = isKv4Error(error) ? (error.retryAfter ?? 1) : 1
    headers.push(['Retry-After', String(Math.max(1, Math.ceil(seconds)))])
  }
  if (SILENT.includes(status)) return empty(status, headers)
  if (status === 500 || !isKv4Error(error))
    return text(status, 'Something went wrong on the server.', headers)
  const { reason } = error.fields
  return text(status, typeof reason === 'string' ? reason : error.message, headers)
}
