import { createHmac } from 'node:crypto'

/**
 * The headers of Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp` (unix seconds of this try), and
 * `webhook-signature`, `v1,` and the base64 of HMAC-SHA256 over `<id>.<timestamp>.<body>`; one for each secret.
 * @param secrets `whsec_` and base64
 */
export function signatureHeaders(
  secrets: readonly string[],
  id: string,
  now: number,
  body: string,
): Record<string, string> {
  const timestamp = String(Math.floor(now / 1000))
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice('whsec_'.length), 'base64')
    return 'v1,' + createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
  })
  return {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signatures.join(' '),
  }
}
