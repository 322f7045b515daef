import { type Json, isJsonObject } from '../../json'
import type { Aggregate } from '../store'

// Beyond this CouchDB's sums could leave what a float holds, which breaks the view of the whole bucket.
const LARGEST = 1e280

function cut(x: number): number {
  return Math.max(-LARGEST, Math.min(LARGEST, x))
}

/** What a sample counts as; the same rule stands in the view's map function (design-document.ts). */
export function tally(value: Json): Aggregate {
  if (typeof value === 'number') return { sum: cut(value), min: cut(value), max: cut(value), count: 1 }
  if (isJsonObject(value)) {
    const { sum, min, max, count } = value
    if (
      typeof sum === 'number' &&
      typeof min === 'number' &&
      typeof max === 'number' &&
      typeof count === 'number'
    )
      return { sum: cut(sum), min: cut(min), max: cut(max), count: cut(count) }
  }
  return { sum: 0, min: 0, max: 0, count: 1 }
}

export function sumOf(a: Aggregate | undefined, b: Aggregate): Aggregate {
  if (a === undefined) return b
  return {
    sum: a.sum + b.sum,
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
    count: a.count + b.count,
  }
}
