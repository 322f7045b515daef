import type { Channel } from '../channel'
import type { Message } from '../message'

/**
 * What goes over the link from one node to another, as JSON. Sequence numbers count from 1 for one life of each of the two
 * nodes, so that the receiver knows what it has and what it lacks. One is left out where one node took the other for dead.
 *
 *     receiver → {"last":n}                         first of all: what it has
 *     sender   → {"q":n,"c":channel,"m":message}    a message for members of the channel
 *     sender   → {"q":n,"c":channel}                the sender has members there now
 *     sender   → {"lost":[channel…] | null}         what came before is not all there was; null: anywhere
 *     receiver → {"ack":n}                          has been dealt with, and need not be sent again
 */
export interface Parcel {
  readonly q: number
  readonly c: Channel
  readonly m?: Message
}

export interface Lost {
  readonly lost: readonly Channel[] | null
}

export type Receipt = { readonly last: number } | { readonly ack: number }

export function isLost(frame: Parcel | Lost): frame is Lost {
  return 'lost' in frame
}

/** A message of 64 KiB, escaped once more. */
export const MAX_LINK_FRAME = 1024 * 1024
