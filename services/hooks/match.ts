import { createHash } from 'node:crypto'
import { Path, addressId } from '../../core'
import type { WatchEvent, WatchFilter } from '../../core'
import { changeType } from '../change'
import type { HookMatch } from '../hook'

/** What the engine can look at for a hook; the rest is for `matches`. */
export function filterOf({ layer, path, depth, key }: HookMatch): WatchFilter {
  return { layer, path, ...(depth !== undefined && { depth }), ...(key !== undefined && { key }) }
}

export function matches({ path, prefix, events }: HookMatch, event: WatchEvent): boolean {
  if (events !== undefined && !events.includes(changeType(event))) return false
  return prefix === undefined || nameBelow(path, event).startsWith(prefix)
}

/** Unix ms of the change. */
export function eventTime(event: WatchEvent): number {
  return event.kind === 'series' ? event.sample.at : event.version.at
}

/** The same for the same change of an entry, whoever tells of it and however often; another one for each hook. */
export function eventId(hook: string, event: WatchEvent): string {
  const which = event.kind === 'series' ? `${event.sample.at}-${event.sample.id}` : String(event.version.n)
  const hash = createHash('sha256')
    .update(`${hook}\n${addressId(event.address)}\n${which}`)
    .digest()
  return 'msg_' + hash.subarray(0, 18).toString('base64url')
}

function nameBelow(root: Path, { address: { path, key } }: WatchEvent): string {
  return [...Path.segments(path).slice(Path.depth(root)), key].join('/')
}
