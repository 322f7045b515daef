import { isKv4Error } from '../core'
import type { BucketName, Path } from '../core'
import type { Ban, Bans } from './bans'
import { FollowedBuckets } from './followed-buckets'

interface Held {
  readonly path: Path
  readonly address: string
  readonly ended: () => void
}

/**
 * Tells of bans, for what was opened while the address was welcome and would go on by itself: sockets, streams. Beside
 * AccountEnds and CredentialEnds.
 */
export interface BanEnds {
  /**
   * @param ended called at most once, on this node as soon as the ban is acknowledged, on others with the feed. A ban from
   * before is found by `Bans.check`, which is best asked after this.
   */
  hold(bucket: BucketName, path: Path, address: string, ended: () => void): { release(): void }
}

export function createBanEnds(
  bans: Pick<Bans, 'watch' | 'check'>,
  onBackgroundError: (error: unknown) => void = () => undefined,
): BanEnds {
  const held = new Map<BucketName, Set<Held>>()

  function tell(each: Held): void {
    each.ended()
  }
  function heard(bucket: BucketName, ban: Ban): void {
    for (const each of held.get(bucket) ?? []) if (ban.covers(each.path, each.address)) tell(each)
  }
  function missed(bucket: BucketName): void {
    for (const each of held.get(bucket) ?? [])
      bans.check(bucket, each.path, each.address).catch((error: unknown) => {
        if (isKv4Error(error, 'forbidden')) tell(each)
        else onBackgroundError(error)
      })
  }
  const followed = new FollowedBuckets<Ban>({
    watch: (bucket, signal) => bans.watch(bucket, signal),
    heard,
    missed,
    onBackgroundError,
  })
  return {
    hold(bucket, path, address, ended) {
      let told = false
      const each: Held = {
        path,
        address,
        ended() {
          if (told) return
          told = true
          ended()
        },
      }
      let all = held.get(bucket)
      if (all === undefined) held.set(bucket, (all = new Set()))
      all.add(each)
      followed.hold(bucket)
      return {
        release() {
          told = true
          if (!all.delete(each)) return
          if (all.size === 0 && held.get(bucket) === all) held.delete(bucket)
          followed.release(bucket)
        },
      }
    },
  }
}
