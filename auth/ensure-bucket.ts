import { Key, isKv4Error } from '../core'
import type { BucketName, Engine } from '../core'
import { PLACES } from './places'

const PROBE = { ...PLACES.admins, key: Key.parse('-') } as const

/**
 * Makes the bucket of an account whose entry was written but whose bucket was not, because the node went down in
 * between. true: it was missing. The caller has to make sure that the account is there, before and after.
 */
export async function ensureBucket(engine: Engine, bucket: BucketName): Promise<boolean> {
  try {
    await engine.bucket(bucket).get(PROBE)
    return false
  } catch (error) {
    if (!isKv4Error(error, 'bucket_not_found')) throw error
    await engine.create(bucket)
    return true
  }
}
