import { BucketName, isJsonObject, type Json, type JsonObject } from '../../core'
import type { Channel } from './channel'

/** What is stored of a connected user, beside who he is. */
export interface Connection {
  /** Unix ms at which he came. */
  readonly since: number
  /** Names one life of a node: what an earlier one left behind counts for nothing. */
  readonly epoch: string
}

/** The subscription as clients see it: contract rest §7. The topic and the service are those of every signalling user. */
export function shownEntry({ bucket, path }: Channel, node: string, user: string): JsonObject {
  const { account, sub } = BucketName.owner(bucket)
  return {
    topic: 'topic',
    service: 'xs_turn',
    path,
    origin: node,
    meta: null,
    key: user,
    ident: sub ?? account,
  }
}

export function presenceEntry(
  channel: Channel,
  node: string,
  user: string,
  connection: Connection,
): JsonObject {
  return { ...shownEntry(channel, node, user), ...connection }
}

/** undefined: not written by a node. */
export function connectionOf(value: Json): Connection | undefined {
  if (!isJsonObject(value)) return undefined
  const { since, epoch } = value
  return typeof since === 'number' && typeof epoch === 'string' ? { since, epoch } : undefined
}
