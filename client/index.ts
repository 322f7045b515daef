/** Signalling for browsers and Node: `kv4/client`. */
export { GatewayError, requestHost, requestToken } from './gateway'
export type { Gateway } from './gateway'
export { SignalClient } from './signal-client'
export type { SignalAccess, SignalOptions } from './signal-client'
export type { SignalEvents, SignalMessage } from './signal-events'
export type { WebSocketClass, WebSocketLike } from './web-socket'
