import { randomBytes } from 'node:crypto'

const SANE = /^[A-Za-z0-9._~-]{1,64}$/
const PROCESS = randomBytes(6).toString('hex') + '-'
let count = 0

/** The caller's own X-Request-Id when it is short and plain, otherwise one that is unique across processes. */
export function requestId(header: string | string[] | undefined): string {
  if (typeof header === 'string' && SANE.test(header)) return header
  return PROCESS + (++count).toString(36)
}
