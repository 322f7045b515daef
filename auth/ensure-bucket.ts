import { Key, isKv4Error, addressIn } from '../core'
import type { BucketName, Engine } from '../core'
import { PLACES } from './places'

const PROBE = addressIn(PLACES.admins, Key.parse('-'))

/**
 * Makes the bucket of an account whose entry was written but whose bucket was not, because the node went down in
 * between. A bucket is also missing while its account is being deleted, and must not come back then: `isStillThere`
 * is asked before and after. false: the account is not there any more.
 */
export async function ensureBucket(
  engine: Engine,
  bucket: BucketName,
  isStillThere: () => Promise<boolean>,
): Promise<boolean> {
  try {
    await engine.bucket(bucket).get(PROBE)
    return true
  } catch (error) {
    if (!isKv4Error(error, 'bucket_not_found')) throw error
  }
  if (!(await isStillThere())) return false
  await engine.create(bucket)
  return isStillThere()
}
