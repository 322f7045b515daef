import { Path } from '../../../core'
import { OPERATIONS, SYSTEM_USER, type Message } from '../message'
import type { Dialect } from './dialect'
import { members, parseObject } from './members'

/**
 * V3 and V2: contract §2, §3.
 *
 *     {"t":"u","m":{"f":"/channel/user","t":"target","o":"operation"},"p":payload}
 *
 * `f` is the server's word, whatever the client wrote there; without a target it goes to everybody else.
 */
export const v3: Dialect = {
  name: 'v3',
  watches: true,

  decode(frame, from) {
    const said = parseObject(frame)
    const outer = said && members(frame)
    const head = outer?.get('m')
    const m = head === undefined ? undefined : parseObject(head)
    if (said === undefined || outer === undefined || head === undefined || m === undefined) return undefined
    const to = targetOf(m['t'])
    const { o: operation } = m
    if (to === null || (operation !== undefined && typeof operation !== 'string')) return undefined
    return {
      from,
      ...(to !== undefined && { to }),
      service: typeof said['t'] === 'string' ? outer.get('t')! : '"u"',
      ...(operation !== undefined && { operation }),
      head: withoutSender(members(head)!),
      payload: outer.get('p') ?? 'null',
    }
  },

  message(channel, { from, service, head, payload }) {
    const rest = head === '' ? '' : ',' + head
    return `{"t":${service},"m":{"f":${JSON.stringify(fullPath(channel, from))}${rest}},"p":${payload}}`
  },

  peers(channel, users) {
    return systemFrame(channel, SYSTEM_USER, OPERATIONS.peers, `{"users":${JSON.stringify(users)}}`)
  },

  connected(channel, user) {
    return systemFrame(channel, user, OPERATIONS.connected, 'null')
  },

  removed(channel, user) {
    return systemFrame(channel, user, OPERATIONS.removed, 'null')
  },

  gap(channel) {
    return systemFrame(channel, SYSTEM_USER, OPERATIONS.gap, 'null')
  },
}

/** undefined: everybody else. null: no target can be meant by this. */
function targetOf(value: unknown): string | undefined | null {
  if (value === undefined || value === null || value === '') return undefined
  return typeof value === 'string' ? value : null
}

function withoutSender(m: ReadonlyMap<string, string>): string {
  const rest: string[] = []
  for (const [name, value] of m) if (name !== 'f') rest.push(`${JSON.stringify(name)}:${value}`)
  return rest.join(',')
}

/** `/channel/user`; of the root channel `/user`. */
export function fullPath(channel: Path, user: string): string {
  return channel === Path.root ? '/' + user : `${channel}/${user}`
}

function systemFrame(channel: Path, user: string, operation: string, payload: string): string {
  const message: Message = {
    from: user,
    service: '"u"',
    operation,
    head: `"o":"${operation}"`,
    payload,
  }
  return v3.message(channel, message)
}
