import { type Json } from '../../core'
import type { MountReply, MountRequest } from '../mount'
import { refusalOf } from './refusal'

const HEADERS = [
  ['Content-Type', 'application/json; charset=utf-8'],
  ['Cache-Control', 'no-store'],
  ['X-Content-Type-Options', 'nosniff'],
  ['Access-Control-Allow-Origin', '*'],
] as const

/** Contract signal §7: `{"s":200,"p":"/path","d":…,"e":null}`, `s` a number; the status of HTTP is always 200. */
export function reply(request: MountRequest, d: Json): MountReply {
  return { status: 200, headers: HEADERS, body: JSON.stringify({ s: 200, p: request.rawPath, d, e: null }) }
}

export function refuse(error: unknown, request: MountRequest): MountReply {
  const { status, code } = refusalOf(error)
  return {
    status: 200,
    headers: HEADERS,
    body: JSON.stringify({ s: status, p: request.rawPath, d: null, e: code }),
  }
}

/** What browsers ask before they send: contract rest §1. */
export const PREFLIGHT: MountReply = {
  status: 200,
  headers: [
    ...HEADERS,
    ['Access-Control-Allow-Headers', 'Authorization, Content-Type, X-Requested-With'],
    ['Access-Control-Allow-Methods', 'GET, PUT, POST, DELETE, OPTIONS'],
    ['Access-Control-Max-Age', '600'],
  ],
  body: '{}',
}
