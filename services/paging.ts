import { z } from 'zod'
import { Kv4Error, isKv4Error, type PageOptions } from '../core'
import { Flag, whole } from './parameters'

const MOST = 10_000

/** Items of a listing of names where the caller does not say: all that one answer may have, as old clients never page. */
export const NAMES_LIMIT = MOST

/** Items of a listing with values where the caller does not say. */
export const VALUES_LIMIT = 1_000

/** The query parameters of every listing; spread them into the shape of a route's query. */
export const PAGING = {
  limit: whole(1, MOST).optional(),
  /** `next` of the page before, as it was given. */
  after: z.string().optional(),
  /** Past the caches. */
  consistent: Flag.optional(),
}

export interface PagingQuery {
  readonly limit?: number | undefined
  readonly after?: string | undefined
  readonly consistent?: boolean | undefined
}

/**
 * What a query asks of a listing of the engine.
 * @param parse what `next` was made from; what it refuses is `bad_cursor`
 */
export function pageOptions<After>(
  { limit, after, consistent = false }: PagingQuery,
  defaultLimit: number,
  parse: (text: string) => After,
): PageOptions<After> & { readonly limit: number } {
  return {
    limit: limit ?? defaultLimit,
    consistent,
    ...(after !== undefined && { after: cursor(after, parse) }),
  }
}

function cursor<After>(text: string, parse: (text: string) => After): After {
  try {
    return parse(text)
  } catch (error) {
    throw isKv4Error(error) ? new Kv4Error('bad_cursor', { cause: error }) : error
  }
}
