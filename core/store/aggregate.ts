import { isJsonObject } from '../json'
import type { Json } from '../json'
import type { Aggregate } from './store'

/** What a sample counts as: see SampleValue. */
export function aggregateOf(value: Json): Aggregate {
  if (typeof value === 'number') return { sum: value, min: value, max: value, count: 1 }
  if (isJsonObject(value)) {
    const { sum, min, max, count } = value
    if (
      typeof sum === 'number' &&
      typeof min === 'number' &&
      typeof max === 'number' &&
      typeof count === 'number'
    )
      return { sum, min, max, count }
  }
  return { sum: 0, min: 0, max: 0, count: 1 }
}

/** Both together. */
export function sumOf(a: Aggregate | undefined, b: Aggregate): Aggregate {
  if (a === undefined) return b
  return {
    sum: a.sum + b.sum,
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
    count: a.count + b.count,
  }
}
