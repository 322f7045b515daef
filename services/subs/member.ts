import type { Key } from '../../core'
import type { Socket } from '../socket'
import type { Dialect } from './dialects'

/** One connection in a room of this node. */
export interface Member {
  readonly user: Key
  /** The login that the token was issued by: recorded with its presence. */
  readonly login: string
  /** Of the other side, for bans. */
  readonly address: string
  readonly socket: Pick<Socket, 'send' | 'close'>
  readonly dialect: Dialect
  /** Unix ms at which it came. */
  readonly since: number
  /** It asked to be told when it may have missed something. */
  readonly wantsGaps: boolean
}
