import type { Json, JsonObject } from '../../../core'
import { Reply } from '../../module'
import { VALUES_LIMIT } from '../../paging'
import { invalidParameter } from '../rules'
import type { Page } from '../services'

/** From `after` (inclusive) on, which is the id that `next` of the page before named. @throws bad_request */
export function pageOf(
  {
    limit = VALUES_LIMIT,
    after,
  }: { readonly limit?: number | undefined; readonly after?: string | undefined },
  isId: (id: string) => boolean,
): { readonly from?: string; readonly limit: number } {
  if (after === undefined) return { limit }
  if (!isId(after)) throw invalidParameter('after')
  return { limit, from: after }
}

/** A page of a listing whose `next` names the first item of the next one. */
export function pageReply({ items, next }: Page<JsonObject>): Json | Reply {
  return next === undefined ? items : new Reply(items, { next })
}
