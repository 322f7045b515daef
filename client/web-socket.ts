/** The part of a WebSocket that is used here: browsers have it, and `ws` in Node. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null
  onmessage: ((event: { readonly data: unknown }) => void) | null
  onclose: ((event: { readonly code: number; readonly reason: string }) => void) | null
  onerror: ((event: never) => void) | null
  send(frame: string): void
  close(code?: number, reason?: string): void
}

export type WebSocketClass = new (url: string) => WebSocketLike

/** The platform's own where there is one; in older Node that of the package `ws`. */
export async function webSocketClass(): Promise<WebSocketClass> {
  const { WebSocket: own } = globalThis as { readonly WebSocket?: WebSocketClass }
  if (own !== undefined) return own
  const { WebSocket } = await import('ws')
  return WebSocket as unknown as WebSocketClass
}
