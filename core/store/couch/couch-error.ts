import { Kv4Error } from '../../errors'

/** CouchDB understood a request and refuses it; outside of the cases that the adapter handles this is a bug. */
export class CouchError extends Error {
  constructor(
    readonly status: number,
    readonly error: string,
    readonly reason: string,
  ) {
    super(`CouchDB answered ${status} ${error}: ${reason}`)
    this.name = 'CouchError'
  }
}

const RETRY_AFTER_SECONDS = 1

export function unavailable(detail: string, cause?: unknown): Kv4Error {
  return new Kv4Error('store_unavailable', { detail, retryAfter: RETRY_AFTER_SECONDS, cause })
}

/** nano's, in front of the reason. */
const NANOS_WORDS = /^error happened in your connection\. Reason: (?:Error: )?/

// What nano rejects with: an answer with a status, or the text of a transport failure without one.
interface NanoError extends Error {
  readonly statusCode?: number
  readonly error?: string
  readonly reason?: string
}

/**
 * - `store_unavailable`: no answer, an answer cut short, 5xx, 429, and credentials that no longer hold: what may heal;
 * - `bucket_not_found`: the database is not there;
 * - CouchError: anything else.
 */
export function translated(failure: unknown): Error {
  const { statusCode, error = '', reason = '', message } = failure as NanoError
  if (statusCode === undefined) return unavailable(message.replace(NANOS_WORDS, ''))
  if (statusCode === 401 || statusCode === 403)
    return unavailable(`CouchDB refuses our credentials: ${statusCode} ${reason}`)
  if (statusCode === 429 || statusCode >= 500)
    return unavailable(`CouchDB answered ${statusCode} ${error} ${reason}`)
  if (statusCode === 404 && /^(?:Database|no_db_file)/.test(reason)) return new Kv4Error('bucket_not_found')
  return new CouchError(statusCode, error, reason)
}
