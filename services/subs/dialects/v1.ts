import { Path } from '../../../core'
import { OPERATIONS, SYSTEM_USER } from '../message'
import { lastSegment } from '../target'
import type { Dialect } from './dialect'
import { members, parseObject } from './members'

/**
 * V1 (xRTC 1.5): contract §8.
 *
 *     client → {"eventName":…,"data":…,"targetUserId":"bob"}
 *     server → {"type":…,"userid":"alice","message":…,"room":"room"}
 *
 * `type` is the client's `eventName` and `message` its whole object; a frame without a type means nothing to clients.
 * The room is the last segment of the channel's path.
 */
export const v1: Dialect = {
  name: 'v1',
  watches: false,
  refusal: '"Token invalid"',

  decode(frame, from) {
    const said = parseObject(frame)
    const parts = said && members(frame)
    if (said === undefined || parts === undefined) return undefined
    const { eventName: operation, targetUserId: target } = said
    if (typeof operation !== 'string' || operation === '') return undefined
    if (target !== undefined && target !== null && typeof target !== 'string') return undefined
    const to = typeof target === 'string' && target !== '' ? target : undefined
    return {
      from,
      ...(to !== undefined && { to }),
      service: '"u"',
      operation,
      head: (to === undefined ? '' : `"t":${parts.get('targetUserId')},`) + `"o":${parts.get('eventName')}`,
      payload: parts.get('data') ?? 'null',
      object: frame,
    }
  },

  message(channel, { from, to, operation = '', payload, object }) {
    const target = to === undefined ? '' : `,"targetUserId":${JSON.stringify(lastSegment(to))}`
    const message = object ?? `{"eventName":${JSON.stringify(operation)},"data":${payload}${target}}`
    return frameOf(channel, operation, from, message)
  },

  peers(channel, users) {
    return frameOf(channel, OPERATIONS.peers, SYSTEM_USER, `{"users":${JSON.stringify(users)}}`)
  },

  connected(channel, user) {
    return frameOf(channel, OPERATIONS.connected, user, JSON.stringify(user))
  },

  removed(channel, user) {
    return frameOf(channel, OPERATIONS.removed, user, JSON.stringify(user))
  },

  gap(channel) {
    return frameOf(channel, OPERATIONS.gap, SYSTEM_USER, 'null')
  },
}

function frameOf(channel: Path, type: string, user: string, message: string): string {
  const room = Path.segments(channel).at(-1) ?? ''
  return `{"type":${JSON.stringify(type)},"userid":${JSON.stringify(user)},"message":${message},"room":${JSON.stringify(room)}}`
}
