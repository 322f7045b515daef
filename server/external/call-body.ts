import type { IncomingMessage, ServerResponse } from 'node:http'
import { Kv4Error } from '../../core'
import { CallerGone } from '../request-body'

/** Bytes of a body that is passed on as it comes. */
export const MAX_CALL_BODY = 64 * 1024 * 1024

/** Whether the request has a body at all. @throws body_too_large when it says so beforehand */
export function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers['content-length']
  if (length !== undefined && Number(length) > MAX_CALL_BODY) throw tooLarge()
  return (length !== undefined && length !== '0') || headers['transfer-encoding'] !== undefined
}

/** The body as it comes. Nothing is read before somebody wants it, so a call that was not sent can be sent elsewhere. */
export async function* callBody(
  request: IncomingMessage,
  response: ServerResponse,
): AsyncGenerator<Buffer, void, void> {
  if (request.headers.expect !== undefined) response.writeContinue()
  let size = 0
  try {
    // An end before the body's leaves the connection as it is: the answer is still to be given.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      size += (chunk as Buffer).length
      if (size > MAX_CALL_BODY) throw tooLarge()
      yield chunk as Buffer
    }
  } catch (error) {
    throw error instanceof Kv4Error ? error : new CallerGone(error)
  }
}

function tooLarge(): Kv4Error {
  return new Kv4Error('body_too_large', { fields: { limit: MAX_CALL_BODY } })
}
