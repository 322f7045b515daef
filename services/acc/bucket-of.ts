import type { Principal } from '../../auth/principal'
import { BucketName } from '../../core'

/**
 * The bucket of an account that the principal holds: of the system a primary's, of a primary a sub-account's.
 * @throws bad_bucket_name when both names together are too long
 */
export function bucketOf(holder: Pick<Principal, 'account' | 'bucket'>, name: string): BucketName {
  return holder.bucket === BucketName.system ? BucketName.of(name) : BucketName.of(holder.account, name)
}
