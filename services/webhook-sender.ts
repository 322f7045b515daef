/** What the server gives to those who call URLs that accounts have registered. */
export interface WebhookSender {
  /** @throws bad_request, naming `endpoint`, for a URL that nothing is sent to, whatever name it hides behind */
  check(url: URL): Promise<void>
  /** Sends once, follows no redirect. Never throws: what became of it is the answer. */
  post(call: WebhookCall): Promise<WebhookAnswer>
  /** 32 bytes that belong to `name`, the same on every node; made of the pepper, so that they are not in the store. */
  secret(name: string): Buffer
  /** Ms to wait after the first try that failed, after the second …; after the last of them no other follows (KV4_HOOKS_RETRIES_MS). */
  readonly retriesMs: readonly number[]
  /** Ms within which an endpoint has to answer (KV4_HOOKS_TIMEOUT_MS). */
  readonly timeoutMs: number
  /** Ms after which a node that is not heard of delivers no more, and others do in its place (KV4_HOOKS_LEASE_MS). */
  readonly leaseMs: number
}

export interface WebhookCall {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

export type WebhookAnswer =
  /** `retryAfter`: ms that the endpoint asks for. */
  | { readonly kind: 'answered'; readonly status: number; readonly retryAfter?: number }
  /** `reason` is public: it says nothing of what is behind the endpoint. */
  | { readonly kind: 'failed'; readonly reason: WebhookFailure }
  /** The signal fired: nothing is known. */
  | { readonly kind: 'given up' }

export const WEBHOOK_FAILURES = ['timeout', 'no connection', 'forbidden address', 'connection lost'] as const
export type WebhookFailure = (typeof WEBHOOK_FAILURES)[number]
