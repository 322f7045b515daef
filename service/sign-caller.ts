import { randomBytes } from 'node:crypto'
import { FORMAT, signatureOf, targetDigest } from './caller'
import type { Caller, SignedCall } from './caller'

/** The value of the `kv4-caller` header for one call. */
export function signCaller(
  caller: Caller,
  call: { readonly method: string; readonly target: string },
  key: string,
  now = Date.now(),
): string {
  const signed: SignedCall = {
    ...caller,
    at: now,
    nonce: randomBytes(16).toString('base64url'),
    method: call.method,
    target: targetDigest(call.target),
  }
  const text = `${FORMAT}.${Buffer.from(JSON.stringify(signed)).toString('base64url')}`
  return `${text}.${signatureOf(text, key).toString('base64url')}`
}
