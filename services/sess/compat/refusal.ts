import { isKv4Error, type Json } from '../../../core'
import type { MountReply } from '../../mount'
import { wholeOrParts } from '../../whole-or-parts'

const HEADERS = [
  ['content-type', 'application/json; charset=utf-8'],
  ['cache-control', 'no-cache'],
  ['X-Content-Type-Options', 'nosniff'],
] as const

/** Characters up to which a session with documents is sent with its length, as the original sends all. */
const MOST_WHOLE = 4 * 1024 * 1024

export function reply(status: number, body: Json): MountReply {
  return { status, headers: HEADERS, body: JSON.stringify(body) }
}

/** The same of JSON that comes in parts. */
export async function replyParts(parts: AsyncGenerator<string, void, undefined>): Promise<MountReply> {
  return { status: 200, headers: HEADERS, body: await wholeOrParts(parts, MOST_WHOLE) }
}

/** What the system itself says: `{"error":"code"}`. */
export function own(status: number, error: string): MountReply {
  return reply(status, { error })
}

/** Boom's names of statuses, which stand for a message where there is none. */
const NAMES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** What hapi says. Of a broken server it names the message first, as the contract has seen it. */
export function hapi(status: keyof typeof NAMES, message = NAMES[status]!): MountReply {
  const error = NAMES[status]!
  return reply(
    status,
    status === 500 ? { message, statusCode: status, error } : { statusCode: status, error, message },
  )
}

/** A refusal that has its form already. */
export class Refusal extends Error {
  constructor(readonly reply: MountReply) {
    super('refused')
    this.name = 'Refusal'
  }
}

const TOO_LARGE = 'Payload content length greater than maximum allowed: 1048576'

/** Any error in one of the two forms of the original; those that it could not have are in hapi's, which every client can meet. */
export function refuse(error: unknown): MountReply {
  if (error instanceof Refusal) return error.reply
  if (!isKv4Error(error)) return hapi(500, 'An internal server error occurred')
  switch (error.code) {
    case 'not_found':
    case 'method_not_allowed':
      return hapi(404)
    case 'body_too_large':
      return hapi(400, TOO_LARGE)
    case 'bad_json':
      return hapi(400, 'Invalid request payload JSON format')
    case 'invalid':
      return own(400, 'invalid')
    case 'root_must_be_object':
      return own(400, 'root_must_be_object')
    case 'unauthorized':
      return {
        ...hapi(401, 'Missing authentication'),
        headers: [...HEADERS, ['WWW-Authenticate', 'Basic realm="kv4", charset="UTF-8"']],
      }
    case 'forbidden':
      return hapi(403)
    case 'too_many_requests':
      return { ...hapi(429), headers: [...HEADERS, retryAfter(error.retryAfter)] }
    // What a failing redis was: contract, errors.
    case 'store_unavailable':
    case 'overloaded':
    case 'locked':
      return { ...own(400, error.code), headers: [...HEADERS, retryAfter(error.retryAfter)] }
    case 'bad_schema':
    case 'bucket_not_found':
      return own(400, error.code)
    case 'internal':
      return hapi(500, 'An internal server error occurred')
    default:
      return hapi(400)
  }
}

function retryAfter(seconds = 1): readonly [string, string] {
  return ['Retry-After', String(Math.max(1, Math.ceil(seconds)))]
}
