/** What one member of a room says to others, whatever the dialect. The parts that are JSON stay the text that they were. */
export interface Message {
  /** The user whose connection it came by. */
  readonly from: string
  /** A user, or a path that ends in one; absent: to everybody else in the room. */
  readonly to?: string
  /** `"u"`: the service that is spoken to, as JSON. */
  readonly service: string
  /** What it is: `message`, `session`, anything. Absent where the sender did not say. */
  readonly operation?: string
  /** The members of `m` but `f`, as JSON without braces: `"t":"bob","o":"message"`. */
  readonly head: string
  /** `p`, as JSON. */
  readonly payload: string
  /** The whole object that a client of V1 sent, as JSON; absent: it was said in another dialect. */
  readonly object?: string
}

/** What the platform itself says. */
export const OPERATIONS = {
  peers: 'peers',
  connected: 'peer_connected',
  removed: 'peer_removed',
  gap: 'gap',
} as const

// All that clients of any age take for the platform's word whoever says it; a gap is one by its sender.
const RESERVED: ReadonlySet<string> = new Set([OPERATIONS.peers, OPERATIONS.connected, OPERATIONS.removed])

/** Whether only the platform says it: a client that does is not passed on. */
export function isReserved(operation: string | undefined): boolean {
  return operation !== undefined && RESERVED.has(operation)
}

/** Who speaks for the platform: clients take what stands before it in a path for the path of their channel. */
export const SYSTEM_USER = '__sys__'
