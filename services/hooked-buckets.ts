import { BucketName, Key, Path } from '../core'
import type { Address, Bucket, Engine, Json, Version } from '../core'
import { HOOK_LAYERS } from './hook'

const { account: BY } = BucketName.owner(BucketName.system)

/** Which node delivers what happens in a bucket; `node` empty: none has begun. */
export interface HookedBucket {
  readonly node: string
  /** The life of `node`. */
  readonly epoch: string
}

export const HOOKED_BUCKETS = { layer: HOOK_LAYERS.buckets, path: Path.root } as const

export function hookedBucket({ v }: Version): HookedBucket {
  const { node = '', epoch = '' } = v as Partial<Record<keyof HookedBucket, string>>
  return { node, epoch }
}

export function hookedAddress(bucket: BucketName): Address {
  return { ...HOOKED_BUCKETS, key: Key.parse(bucket) }
}

/**
 * Notes in `$sys` that a bucket has hooks, before it gets one, so that a node finds all of them without opening every
 * bucket. Also where it is noted already: what was written a moment ago is not taken away.
 */
export async function noteHooked(engine: Engine, bucket: BucketName): Promise<void> {
  const system: Bucket = engine.bucket(BucketName.system)
  await system.modify(hookedAddress(bucket), (current): Json => current?.v ?? {}, { by: BY })
}
