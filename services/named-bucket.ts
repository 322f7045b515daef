import { BucketName } from '../core'

/** The bucket of an account by its name: `$sys`, `elena` or `elena#lily`. @throws bad_bucket_name */
export function namedBucket(account: string): BucketName {
  if (account === '$sys') return BucketName.system
  const hash = account.indexOf('#')
  return hash < 0 ? BucketName.of(account) : BucketName.of(account.slice(0, hash), account.slice(hash + 1))
}
