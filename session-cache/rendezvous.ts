import { xxhash32 } from './hash'

/**
 * All `names`, the ones that a key belongs to first (rendezvous hashing: each name draws a number for the key, the
 * highest come first). A name that joins takes a key from nobody but those it now stands before, so that only its share
 * moves; who had the key before stands right behind.
 */
export function rendezvous(key: string, names: Iterable<string>): string[] {
  const hash = xxhash32(key)
  return [...names]
    .map((name) => ({ name, draw: xxhash32(name, hash) }))
    .sort((a, b) => b.draw - a.draw || (a.name < b.name ? -1 : 1))
    .map(({ name }) => name)
}
