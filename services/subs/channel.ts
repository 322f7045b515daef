import type { BucketName, Path } from '../../core'

/** Where a room is: a path in a bucket. Users of one path are in one room, whatever generation their client is of. */
export interface Channel {
  readonly bucket: BucketName
  readonly path: Path
}

/** A bucket's name has no `/`, a path begins with one. */
export function channelId({ bucket, path }: Channel): string {
  return bucket + path
}
