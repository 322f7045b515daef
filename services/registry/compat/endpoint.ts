import type { MountReply } from '../../mount'
import { isMarker, isServiceId } from '../rules'
import type { Call, Caller } from './call'
import { badParameter } from './fault'

/** One endpoint: what comes behind `/v1.0` or `/v1.0/{tenant}`, as a regular expression. */
export interface Endpoint {
  readonly method: string
  readonly path: string
  readonly summary: string
  readonly run: (call: Call, caller: Caller, match: readonly string[]) => Promise<MountReply>
}

/** The marker of a list. @throws Refusal */
export function markerOf(call: Call): string | null {
  const marker = call.parameters.get('marker')
  if (marker === null || marker === '') return null
  if (!isMarker(marker)) throw badParameter('marker')
  return marker
}

/** `?tag=`, judged as a service's id: contract §6. @throws Refusal */
export function tagOf(call: Call): string | null {
  const tag = call.parameters.get('tag')
  if (tag !== null && !isServiceId(tag)) throw badParameter('tag')
  return tag
}
