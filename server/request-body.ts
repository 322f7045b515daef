import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { Kv4Error } from '../core'
import type { Json } from '../core'
import { parseStrictJson } from './strict-json'

/** Bytes that a body may have. */
export const MAX_BODY_BYTES = 1024 * 1024

const JSON_TYPE = /^application\/json[ \t]*(?:;[ \t]*charset[ \t]*=[ \t]*"?utf-?8"?[ \t]*)?;?[ \t]*$/i
const EMPTY = Object.freeze({})

/**
 * The JSON of a body. No body at all, `null` and `{}` are one: real clients send each of them for the same call. The
 * content type counts only where there is a body.
 * @throws bad_json, body_too_large, unsupported_media_type; the error of the connection when it breaks
 */
export async function readRequestBody(request: IncomingMessage, response: ServerResponse): Promise<Json> {
  const { headers } = request
  const declared = declaredLength(headers)
  if (declared === 0 || (declared === undefined && headers['transfer-encoding'] === undefined)) return EMPTY
  if (declared !== undefined && declared > MAX_BODY_BYTES) throw tooLarge(MAX_BODY_BYTES)
  if (headers['content-encoding'] !== undefined && headers['content-encoding'] !== 'identity')
    throw new Kv4Error('unsupported_media_type', { fields: { reason: 'a compressed body' } })
  const type = headers['content-type']
  if (declared !== undefined && !isJson(type)) throw notJson()
  if (headers.expect !== undefined) response.writeContinue()

  const bytes = await collect(request, declared, MAX_BODY_BYTES)
  if (bytes.length === 0) return EMPTY
  if (!isJson(type)) throw notJson()
  return parseStrictJson(bytes) ?? EMPTY
}

/**
 * The bytes of a body, whatever their type; empty where there is none.
 * @throws body_too_large with the limit; CallerGone
 */
export function readRawBody(
  request: IncomingMessage,
  response: ServerResponse,
  limit: number,
): Promise<Buffer> {
  const { headers } = request
  const declared = declaredLength(headers)
  if (declared === 0 || (declared === undefined && headers['transfer-encoding'] === undefined))
    return Promise.resolve(Buffer.alloc(0))
  if (declared !== undefined && declared > limit) return Promise.reject(tooLarge(limit))
  if (headers.expect !== undefined) response.writeContinue()
  return collect(request, declared, limit)
}

function declaredLength(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['content-length']
  return text === undefined ? undefined : Number(text)
}

/**
 * More of a body is to come than may be read: the answer has to end the connection, as node would read on for as long as
 * somebody sends.
 */
export function leavesBody(request: IncomingMessage, limit = MAX_BODY_BYTES): boolean {
  if (request.complete) return false
  const { headers } = request
  const declared = declaredLength(headers)
  return declared === undefined ? headers['transfer-encoding'] !== undefined : declared > limit
}

function isJson(type: string | undefined): boolean {
  return type === undefined || type === 'application/json' || JSON_TYPE.test(type)
}

function tooLarge(limit: number): Kv4Error {
  return new Kv4Error('body_too_large', { fields: { limit } })
}

function notJson(): Kv4Error {
  return new Kv4Error('unsupported_media_type', { fields: { reason: 'not application/json in UTF-8' } })
}

function collect(request: IncomingMessage, declared: number | undefined, limit: number): Promise<Buffer> {
  // Nothing comes any more, not even the end.
  if (request.destroyed) return Promise.reject(new CallerGone(request.errored))
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] | undefined
    let size = 0
    let whole = false
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      // The declared length is the parser's business; without one this is the only limit.
      if (size > limit) {
        request.pause()
        reject(tooLarge(limit))
        return
      }
      // Most bodies arrive whole: they need neither a copy nor the wait for the end.
      if (chunks === undefined && size === declared) {
        whole = true
        resolve(chunk)
        return
      }
      ;(chunks ??= []).push(chunk)
    })
    request.on('end', () => {
      // To resolve once more is not free: V8 tells node of it.
      if (!whole) resolve(chunks === undefined ? Buffer.alloc(0) : Buffer.concat(chunks, size))
    })
    // Of a request from outside every error is the connection's; one that breaks half-way always has it.
    request.on('error', (cause) => reject(new CallerGone(cause)))
  })
}

/** The connection broke before the request was whole: there is nobody to answer. */
export class CallerGone extends Error {
  constructor(cause: unknown) {
    super('the caller has gone', { cause })
    this.name = 'CallerGone'
  }
}
