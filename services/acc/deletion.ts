import type { StoredAccount } from '../../auth'
import {
  BucketName,
  Key,
  isKv4Error,
  type Address,
  type Bucket,
  type Json,
  type Version,
  addressIn,
} from '../../core'
import type { AccRoom } from './room'

/** Recorded where no caller can be named. */
const SYSTEM_LOGIN = BucketName.owner(BucketName.system).account

/**
 * Deletes an account in an order that a crash can interrupt anywhere without leaving anything that can be read:
 *
 *   1. note      in `$sys`, out of sight: this bucket is being deleted
 *   2. mark      the account's entry: from now on nobody logs in, nor through it
 *   3. drop      the buckets of its sub-accounts, then its own
 *   4. remove    the entry; the name is free again
 *   5. forget    the note
 *
 * What a crash left unfinished is finished when a node starts, or by another DELETE.
 */

/**
 * @param check may throw to leave the account as it is
 * @returns false: there is no such account
 */
export async function deleteAccount(
  room: AccRoom,
  bucket: BucketName,
  by: string,
  check: (version: Version | undefined) => void = () => undefined,
): Promise<boolean> {
  return room.turns.take(bucket, async () => {
    const { holder, address } = entryOf(room, bucket)
    const version = await holder.get(address, { consistent: true })
    check(version)
    if (version === undefined) return false
    await notes(room).put(noteAddress(room, bucket), {}, { by })
    if (!(await mark(holder, address, by))) return false
    await finish(room, bucket, by)
    return true
  })
}

/** Finishes what this or another node began. How many deletions that were. */
export async function finishDeletions(room: AccRoom): Promise<number> {
  let finished = 0
  let after: Key | undefined
  do {
    const page = await notedBuckets(room, after)
    for (const key of page.items) {
      const bucket = key as string as BucketName
      await room.turns.take(bucket, async () => {
        if (await isStillDue(room, bucket)) {
          await finish(room, bucket, SYSTEM_LOGIN)
          finished++
        } else await forget(room, bucket)
      })
    }
    after = page.next
  } while (after !== undefined)
  return finished
}

/** Where the account of a bucket has its entry. */
function entryOf(
  { engine, places }: AccRoom,
  bucket: BucketName,
): { readonly holder: Bucket; readonly address: Address } {
  const { account, sub } = BucketName.owner(bucket)
  return {
    holder: engine.bucket(sub === undefined ? BucketName.system : BucketName.of(account)),
    address: addressIn(places.accounts, Key.parse(sub ?? account)),
  }
}

function notes({ engine }: AccRoom): Bucket {
  return engine.bucket(BucketName.system)
}

function noteAddress({ places }: AccRoom, bucket: BucketName): Address {
  return addressIn(places.deletions, Key.parse(bucket))
}

async function notedBuckets(
  room: AccRoom,
  after: Key | undefined,
): Promise<{ readonly items: readonly Key[]; readonly next?: Key }> {
  try {
    return await notes(room).keys(room.places.deletions, {
      consistent: true,
      ...(after !== undefined && { after }),
    })
  } catch (error) {
    // The very first start: there is no system account yet.
    if (isKv4Error(error, 'bucket_not_found')) return { items: [] }
    throw error
  }
}

/** false: somebody else has deleted it to the end. */
async function mark(holder: Bucket, address: Address, by: string): Promise<boolean> {
  try {
    await holder.modify(
      address,
      (current) => {
        if (current === undefined) throw new Gone()
        const { profile, proof } = current.v as unknown as StoredAccount
        return { profile: { ...profile, active: false }, proof, deleting: true } as unknown as Json
      },
      { by },
    )
    return true
  } catch (error) {
    if (error instanceof Gone) return false
    throw error
  }
}

class Gone extends Error {}

/** A note without a mark is of a deletion that never began: nobody was told that it did. */
async function isStillDue(room: AccRoom, bucket: BucketName): Promise<boolean> {
  const { holder, address } = entryOf(room, bucket)
  try {
    const version = await holder.get(address, { consistent: true })
    return (version?.v as unknown as StoredAccount | undefined)?.deleting === true
  } catch (error) {
    if (isKv4Error(error, 'bucket_not_found')) return false
    throw error
  }
}

async function finish(room: AccRoom, bucket: BucketName, by: string): Promise<void> {
  const { holder, address } = entryOf(room, bucket)
  await dropSubs(room, bucket)
  await room.engine.drop(bucket)
  await holder.remove(address, { by })
  await forget(room, bucket)
}

async function dropSubs({ engine, places }: AccRoom, bucket: BucketName): Promise<void> {
  const { account, sub } = BucketName.owner(bucket)
  if (sub !== undefined) return
  try {
    let after: Key | undefined
    do {
      const page = await engine
        .bucket(bucket)
        .keys(places.accounts, { consistent: true, ...(after !== undefined && { after }) })
      for (const key of page.items) await engine.drop(BucketName.of(account, key))
      after = page.next
    } while (after !== undefined)
  } catch (error) {
    // An earlier try came past this point.
    if (!isKv4Error(error, 'bucket_not_found')) throw error
  }
}

async function forget(room: AccRoom, bucket: BucketName): Promise<void> {
  await notes(room).remove(noteAddress(room, bucket), {
    by: SYSTEM_LOGIN,
  })
}
