import { Kv4Error } from '../../../core'
import type { Json } from '../../../core'

/** Error types of the contract (§5) and the HTTP status of each. */
export const FAULT_STATUS = {
  badRequest: 400,
  serviceWithThisIdExists: 400,
  invalidLimit: 400,
  limitReached: 400,
  rateLimitReached: 400,
  unauthorizedError: 401,
  forbiddenError: 403,
  notFoundError: 404,
  requestTooLargeError: 413,
  internalError: 500,
  systemFailureError: 503,
} as const
export type FaultType = keyof typeof FAULT_STATUS

/** What went wrong, in the words that clients compare. */
export interface Fault {
  readonly type: FaultType
  readonly message: string
  readonly details: Json
}

/** A refusal that exists on this wire only. */
export class Refusal extends Kv4Error {
  constructor(readonly fault: Fault) {
    super(fault.type === 'unauthorizedError' ? 'unauthorized' : 'bad_request', { detail: fault.message })
  }
}

export function badRequest(message: string, details: Json = message): Refusal {
  return new Refusal({ type: 'badRequest', message, details })
}

/** Also for what stands in the path: the original says so. */
export function badParameter(name: string): Refusal {
  return badRequest(`Invalid value for '${name}' query string parameter`)
}

export function unauthorized(details: string): Refusal {
  return new Refusal({ type: 'unauthorizedError', message: 'forbidden', details })
}

export function missing(kind: string, key: string): Fault {
  return {
    type: 'notFoundError',
    message: 'object does not exist',
    details: `Object "${kind}" with key "${key}" does not exist`,
  }
}

/** What any error of the platform is called here; contract §5. */
export function faultOf(error: unknown, requestedPath: string): Fault {
  if (error instanceof Refusal) return error.fault
  if (!(error instanceof Kv4Error))
    return { type: 'internalError', message: 'An unexpected error has occurred', details: '' }
  const { code, fields } = error
  const said = (name: string): string => {
    const value = fields[name]
    return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
  }
  switch (code) {
    case 'not_found':
    case 'method_not_allowed':
      if (fields.what !== undefined) return missing(said('what'), said('k'))
      return {
        type: 'notFoundError',
        message: 'The page cannot be found.',
        details: { requested_path: requestedPath },
      }
    case 'service_exists': {
      const text = `Service with id ${said('k')} already exists.`
      return { type: 'serviceWithThisIdExists', message: text, details: text }
    }
    case 'limit_reached':
      return {
        type: 'limitReached',
        message: 'Resource limit has been reached',
        details: `Limit for resource ${said('resource')} has been reached. Maximum allowed objects: ${said('limit')}`,
      }
    case 'too_many_requests':
      return {
        type: 'rateLimitReached',
        message: 'Rate limit has been reached.',
        details: `Try again in ${Math.ceil(error.retryAfter ?? 1)} seconds.`,
      }
    case 'bad_request':
      if (fields.key !== undefined)
        return {
          type: 'badRequest',
          message: `Validation error for key '${said('key')}'`,
          details: said('reason'),
        }
      return { type: 'badRequest', message: said('reason'), details: said('reason') }
    case 'unauthorized':
      return {
        type: 'unauthorizedError',
        message: 'forbidden',
        details: 'Invalid or expired authentication token',
      }
    case 'forbidden':
      return { type: 'forbiddenError', message: 'forbidden', details: error.message }
    case 'body_too_large':
      return { type: 'requestTooLargeError', message: 'Request entity too large', details: '' }
    case 'store_unavailable':
    case 'overloaded':
    case 'locked':
    case 'bucket_not_found':
      return {
        type: 'systemFailureError',
        message: 'The service is temporarily unavailable',
        details: error.message,
      }
    case 'internal':
      return { type: 'internalError', message: 'An unexpected error has occurred', details: '' }
    default:
      return { type: 'badRequest', message: error.message, details: error.message }
  }
}
