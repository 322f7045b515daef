import type { Path } from '../../../core'
import type { Message } from '../message'

/** How a generation of clients says things. Pure: text in, text out. */
export interface Dialect {
  readonly name: 'v3' | 'v1'
  /** Its clients may watch: frames of service `w` are for the platform, where the token says so. */
  readonly watches: boolean
  /** undefined: not understood, and not passed on. */
  decode(frame: string, from: string): Message | undefined
  message(channel: Path, message: Message): string
  /** To a newcomer: everybody in the room, itself among them. */
  peers(channel: Path, users: readonly string[]): string
  connected(channel: Path, user: string): string
  removed(channel: Path, user: string): string
  /** To clients that asked for it: something may have been missed. */
  gap(channel: Path): string
  /** Sent before a socket is closed for its token. */
  readonly refusal?: string
}
