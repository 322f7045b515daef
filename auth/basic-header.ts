/** The two halves of HTTP Basic as they were sent, decoded. */
export interface UserPassword {
  readonly user: string
  readonly password: string
}

const BASIC = /^basic +([A-Za-z0-9+/]+={0,2})$/i
// Leaves a byte order mark in place: dropping it would give two spellings to one credential.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
// C0, DEL and C1: RFC 7617 §2 allows no control characters in either half.

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

/**
 * Reads an Authorization header by RFC 7617 and nothing looser: the scheme is exactly `Basic` (any case), the token
 * canonical padded base64, the text UTF-8 without control characters, split at its first `:`. undefined: it is not
 * that. passport-http's own reading is not used: it cuts the password at the second `:` and takes schemes such as
 * `XBasicY`.
 */
export function parseBasicHeader(header: string): UserPassword | undefined {
  const token = BASIC.exec(header)?.[1]
  if (token === undefined) return undefined
  const bytes = Buffer.from(token, 'base64')
  // Node skips what it does not understand; only the canonical spelling comes back unchanged.
  if (bytes.toString('base64') !== token) return undefined
  let text: string
  try {
    text = utf8.decode(bytes)
  } catch {
    return undefined
  }
  if (CONTROL.test(text)) return undefined
  const colon = text.indexOf(':')
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

export function printBasicHeader({ user, password }: UserPassword): string {
  return 'Basic ' + Buffer.from(user + ':' + password, 'utf8').toString('base64')
}
