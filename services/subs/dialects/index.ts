import type { Dialect } from './dialect'
import { v1 } from './v1'
import { v3 } from './v3'

export type { Dialect } from './dialect'

/** By the segment of the URL that stands before the token: contract §1. */
export const DIALECTS = { v1: v3, v2: v3, ws: v1 } as const satisfies Record<string, Dialect>
export type DialectSegment = keyof typeof DIALECTS
