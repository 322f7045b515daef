import type { Bucket, JsonObject, Path } from '../../../core'
import type { MountReply } from '../../mount'
import type { Caller } from '../access-tokens'
import { isMarker, isServiceId } from '../rules'
import type { Page } from '../services'
import type { Call } from './call'
import { badParameter } from './fault'

/** One endpoint: what comes behind `/v1.0` or `/v1.0/{tenant}`, as a regular expression. */
export interface Endpoint {
  readonly method: string
  readonly path: string
  /** Where in the tree lies what it answers: the path that `_reg` or `_conf` has for it. */
  readonly at: string | ((match: readonly string[]) => Path)
  readonly summary: string
  /**
   * What a call waits for: before it is looked at at all where its caller was admitted here when he asked last, so that the
   * time it takes tells nobody else anything; otherwise once it is known who he is.
   */
  readonly together?: (bucket: Bucket, match: readonly string[]) => Promise<void>
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

/** The page of a list that the call asks for, by `limit` and `marker`. @throws Refusal */
export async function listed(
  call: Call,
  list: (page: { readonly limit: number; readonly from?: string }) => Promise<Page<JsonObject>>,
): Promise<MountReply> {
  const limit = call.limit()
  const marker = markerOf(call)
  const { items, next } = await list({ limit, ...(marker !== null && { from: marker }) })
  return call.list(items, limit, marker, next)
}

/** Where a thing is, without regard to how the URL of the request was spelled; clients take the last segment. */
export function location(
  { request }: Call,
  { tenant }: Caller,
  kind: string,
  id: string,
): readonly [string, string] {
  return ['Location', `${request.origin}/v1.0/${tenant.id}/${kind}/${id}`]
}
