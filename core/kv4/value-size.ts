import type { Json } from '../json'

const PER_MEMBER = 16

/** About how many bytes a value takes in memory and on the wire: good enough to bound batches and caches. */
export function valueSize(value: Json): number {
  if (typeof value === 'string') return value.length * 2
  if (typeof value !== 'object' || value === null) return 8
  let size = PER_MEMBER
  if (Array.isArray(value)) {
    for (const item of value as readonly Json[]) size += 8 + valueSize(item)
    return size
  }
  const object = value as Readonly<Record<string, Json>>
  for (const name in object) size += PER_MEMBER + name.length + valueSize(object[name]!)
  return size
}
