import type { Json } from '../../json'
import { aggregateOf } from '../aggregate'
import type { Aggregate } from '../store'

// Beyond this CouchDB's sums could leave what a float holds, which breaks the view of the whole bucket.
const LARGEST = 1e280

function cut(x: number): number {
  return Math.max(-LARGEST, Math.min(LARGEST, x))
}

/** What a sample counts as; the same rule stands in the view's map function (design-document.ts). */
export function tally(value: Json): Aggregate {
  const { sum, min, max, count } = aggregateOf(value)
  return { sum: cut(sum), min: cut(min), max: cut(max), count: cut(count) }
}
