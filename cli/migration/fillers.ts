import type { Version } from '../../core'

/** Who wrote a filler, version or sample: no login is called so. */
export const FILLER = 'kv4 migrate'

/**
 * Versions that stand in for those between `head` and `before`, which retention has forgotten: a store takes version
 * n only behind n-1. They leave the key live or not as `before` found it, and are forgotten in their turn.
 */
export function* fillers(head: Version | undefined, before: Version): Generator<Version> {
  let live = head !== undefined && head.op !== 'delete'
  // Only a `create` follows on nothing.
  const leaveLive = before.op !== 'create'
  for (let n = (head?.n ?? 0) + 1; n < before.n; n++) {
    const isLast = n === before.n - 1
    const op = isLast && !leaveLive ? 'delete' : live ? 'update' : 'create'
    live = op !== 'delete'
    yield { n, at: before.at, by: FILLER, op, v: null }
  }
}
