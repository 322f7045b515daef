import { Kv4Error, type Json } from '../../core'

const MAX_LENGTH = 254
// Not a full grammar: whether an address exists only a mail can tell.
const EMAIL =
  /^[^\s@"(),:;<>[\\\]\p{Cc}]{1,64}@(?=[^@]{1,253}$)[^\s@.,;:"()<>[\\\]\p{Cc}]+(?:\.[^\s@.,;:"()<>[\\\]\p{Cc}]+)*$/u

/** @throws bad_email also when there is none */
export function parseEmail(value: Json | undefined): string {
  if (typeof value !== 'string' || value.length > MAX_LENGTH || !value.isWellFormed() || !EMAIL.test(value))
    throw new Kv4Error('bad_email')
  return value
}

/** The form by which addresses are compared, and the account's secondary key k2. */
export function emailKey(email: string): string {
  return email.normalize('NFC').toLowerCase()
}
