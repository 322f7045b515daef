import type { Kv4Error } from '../../core'
import { isKv4Error } from '../../core'

/** Errors in the words of V2: contract signal §7, rest §11. The number is what the PDF calls the virtual HTTP response. */
const REFUSALS = {
  no_domain: 404,
  no_application: 404,
  no_room: 404,
  domain_exists: 409,
  application_exists: 409,
  room_exists: 409,
  bad_domain_format: 400,
  bad_app_format: 400,
  bad_room_format: 400,
  service_unavailable: 503,
} as const

export type RefusalCode = keyof typeof REFUSALS

export class Refusal extends Error {
  constructor(readonly code: RefusalCode) {
    super(code)
    this.name = 'Refusal'
  }
}

/** Statuses of errors of the platform that a request of V2 can meet; any other is 500 `internal`. */
const PLATFORM: Readonly<Partial<Record<Kv4Error['code'], number>>> = {
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  method_not_allowed: 405,
  bad_request: 400,
  bad_key: 400,
  bad_segment: 400,
  body_too_large: 413,
  too_many_requests: 429,
  overloaded: 503,
  store_unavailable: 503,
  service_unavailable: 503,
  service_failed: 502,
}

/** `s` and `e` of an error. */
export function refusalOf(error: unknown): { readonly status: number; readonly code: string } {
  if (error instanceof Refusal) return { status: REFUSALS[error.code], code: error.code }
  const status = isKv4Error(error) ? PLATFORM[error.code] : undefined
  return status === undefined ? { status: 500, code: 'internal' } : { status, code: (error as Kv4Error).code }
}
