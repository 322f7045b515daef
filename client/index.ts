/** Signalling and watching for browsers and Node: `kv4/client`. */
export { GatewayError, requestHost, requestToken } from './gateway'
export type { Gateway } from './gateway'
export { SignalClient } from './signal-client'
export type { SignalAccess, SignalOptions } from './signal-client'
export type { SignalEvents, SignalMessage } from './signal-events'
export { TRY_AGAIN, watchChanges } from './watch'
export type { Change, WatchOptions, WatchedChange } from './watch'
export type { WebSocketClass, WebSocketLike } from './web-socket'
