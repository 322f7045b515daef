import { addressIn } from './address'
import { Kv4Error, isKv4Error } from '../errors'
import type { Address, Place } from './address'
import type { Entry, PutOptions } from './api'
import type { ClaimChange } from './claims'
import { CLAIM_GRACE_MS, checkSecondaryKeys, claimAddress, claimChanges, claimedBy } from './claims'
import type { EntryWrite } from './committer'
import { CarriesKeys } from './committer'
import type { MarkedWrites } from './marked-writes'
import type { OpenBucket } from './open-bucket'
import { readHead } from './reader'
import type { Slot, Version } from './version'
import { isLive } from './version'
import type { Json } from '../json'

type EntryKind = 'versioned' | 'current'

const NO_CHANGES = { gained: [], left: [] } as const
const PATIENCE_MS = 2_000
const LOOK_AGAIN_MS = 20

/** Finds an entry by secondary key; checks that it still carries the value. */
export async function findBySecondary(
  bucket: OpenBucket,
  place: Place,
  kind: EntryKind,
  slot: Slot,
  value: string,
  consistent: boolean,
): Promise<Entry | undefined> {
  const key = claimedBy(await readHead(bucket, claimAddress(place, slot, value), 'current', consistent))
  if (key === undefined) return undefined
  const version = await readHead(bucket, addressIn(place, key), kind, consistent)
  return isLive(version, bucket.options.clock()) && version[slot] === value ? { key, version } : undefined
}

/**
 * A put on a head that was looked at: one that changes secondary keys claims them first, then writes the entry, then
 * releases what is left (claims.ts says why); a marked one looks for what an earlier attempt has written.
 */
export async function putOnHead(
  bucket: OpenBucket,
  address: Address,
  kind: EntryKind,
  value: Json,
  options: PutOptions,
  marked?: MarkedWrites,
): Promise<Version> {
  if (options.keys !== undefined) checkSecondaryKeys(options.keys)
  const clock = bucket.options.clock
  for (let first = true; ; first = false) {
    const head = await readHead(bucket, address, kind, true)
    const done = await findDone(bucket, address, kind, head, marked, first)
    if (done !== undefined) return done
    if (!mayHold(options.expect, head, clock())) throw new Kv4Error('version_conflict')
    const { gained, left } =
      options.keys === undefined
        ? NO_CHANGES
        : claimChanges(isLive(head, clock()) ? head : undefined, options.keys)
    const leaving = await claimNumbers(bucket, address, left)
    const startedAt = clock()
    for (const change of gained) await claim(bucket, address, kind, change, options.by)
    try {
      const version = await bucket.committer.write({
        ...entryWrite(address, kind, value, options),
        onHead: head?.n ?? 0,
        mark: marked?.id,
      })
      marked?.wrote(address, version!)
      if (clock() - startedAt > CLAIM_GRACE_MS / 2)
        await assertStillClaimed(bucket, address, kind, gained, version!)
      await releaseClaims(bucket, leaving, options.by)
      return version!
    } catch (error) {
      // The head moved between claim and write: look again. What was claimed stays, since another writer of this very
      // entry may rest on it; if nobody does, it is taken over after the grace.
      if (!isKv4Error(error, 'version_conflict')) throw error
    }
  }
}

/**
 * Removes an entry and releases what it claimed: claims are looked at before the removal and released after it, so that
 * one which somebody renews in between is left alone.
 */
export async function removeEntry(
  bucket: OpenBucket,
  removal: EntryWrite,
  marked?: MarkedWrites,
): Promise<Version | undefined> {
  if (marked !== undefined) return removeMarked(bucket, removal, marked)
  try {
    // Most entries have no secondary keys; asking first would let later writes of the same caller overtake.
    return await bucket.committer.write({ ...removal, unlessKeyed: true })
  } catch (error) {
    if (!(error instanceof CarriesKeys)) throw error
  }
  const head = await readHead(bucket, removal.address, removal.kind, true)
  const claims =
    head === undefined ? [] : await claimNumbers(bucket, removal.address, claimChanges(head, {}).left)
  const version = await bucket.committer.write(removal)
  await releaseClaims(bucket, claims, removal.by)
  return version
}

async function removeMarked(
  bucket: OpenBucket,
  removal: EntryWrite,
  marked: MarkedWrites,
): Promise<Version | undefined> {
  const { address, kind, by, expect } = removal
  for (let first = true; ; first = false) {
    const head = await readHead(bucket, address, kind, true)
    const done = await findDone(bucket, address, kind, head, marked, first)
    if (done !== undefined) return done
    const now = bucket.options.clock()
    if (!mayHold(expect, head, now)) throw new Kv4Error('version_conflict')
    if (!isLive(head, now)) return undefined
    const claims = await claimNumbers(bucket, address, claimChanges(head, {}).left)
    try {
      const version = await bucket.committer.write({ ...removal, onHead: head.n, mark: marked.id })
      if (version !== undefined) marked.wrote(address, version)
      await releaseClaims(bucket, claims, by)
      return version
    } catch (error) {
      if (!isKv4Error(error, 'version_conflict')) throw error
    }
  }
}

/** What an earlier attempt has written. Where there was none, only a conflict says that somebody took over meanwhile. */
async function findDone(
  bucket: OpenBucket,
  address: Address,
  kind: EntryKind,
  head: Version | undefined,
  marked: MarkedWrites | undefined,
  firstLook: boolean,
): Promise<Version | undefined> {
  if (marked === undefined || (marked.first && firstLook)) return undefined
  return marked.find(bucket, address, kind, head)
}

/** A claim as it was seen; it is released only if nobody has renewed it since. */
interface HeldClaim {
  readonly at: Address
  readonly n: number
}

function entryWrite(address: Address, kind: EntryKind, value: Json, { by, expect, keys, ttl }: PutOptions) {
  return { address, kind, value, by, expect, keys, ttl }
}

function mayHold(expect: PutOptions['expect'], head: Version | undefined, now: number): boolean {
  if (expect === undefined) return true
  const live = isLive(head, now)
  if (expect === 'absent') return !live
  if (expect === 'present') return live
  return live && head.n === expect.n
}

async function claim(
  bucket: OpenBucket,
  address: Address,
  kind: EntryKind,
  { slot, value }: ClaimChange,
  by: string,
): Promise<void> {
  const at = claimAddress(address, slot, value)
  const clock = bucket.options.clock
  const giveUpAt = clock() + PATIENCE_MS
  for (;;) {
    const found = await readHead(bucket, at, 'current', true)
    const holder = claimedBy(found)
    if (holder !== undefined && holder !== address.key) {
      const rival = await readHead(bucket, addressIn(address, holder), kind, true)
      if (isLive(rival, clock()) && rival[slot] === value)
        throw new Kv4Error('key_exists', { fields: { slot } })
      if (found!.at > clock() - CLAIM_GRACE_MS) {
        // Its writer may be about to write the entry.
        if (clock() > giveUpAt) throw new Kv4Error('locked', { retryAfter: CLAIM_GRACE_MS / 1000 })
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS))
        continue
      }
    }
    try {
      // Renewed also when it is ours already, so that nobody takes or releases it meanwhile.
      await bucket.committer.write({
        address: at,
        kind: 'current',
        value: address.key,
        by,
        expect: undefined,
        onHead: found?.n ?? 0,
        keys: undefined,
        ttl: undefined,
      })
      return
    } catch (error) {
      if (!isKv4Error(error, 'version_conflict')) throw error
    }
  }
}

/** The claims on these values that point to this key, with their numbers. */
async function claimNumbers(
  bucket: OpenBucket,
  address: Address,
  changes: readonly ClaimChange[],
): Promise<readonly HeldClaim[]> {
  const held: HeldClaim[] = []
  for (const { slot, value } of changes) {
    const at = claimAddress(address, slot, value)
    const found = await readHead(bucket, at, 'current', true)
    if (found !== undefined && claimedBy(found) === address.key) held.push({ at, n: found.n })
  }
  return held
}

async function releaseClaims(bucket: OpenBucket, claims: readonly HeldClaim[], by: string): Promise<void> {
  for (const { at, n } of claims) {
    try {
      await bucket.committer.write({
        address: at,
        kind: 'current',
        value: undefined,
        by,
        expect: undefined,
        onHead: n,
        keys: undefined,
        ttl: undefined,
      })
    } catch (error) {
      // Renewed by somebody meanwhile, so it is theirs; or the store is away, and a claim left behind is harmless.
      if (!isKv4Error(error, 'version_conflict') && !isKv4Error(error, 'store_unavailable')) throw error
    }
  }
}

/** The write took so long that somebody may have taken a claim over: then the entry must go again. */
async function assertStillClaimed(
  bucket: OpenBucket,
  address: Address,
  kind: EntryKind,
  claimed: readonly ClaimChange[],
  version: Version,
): Promise<void> {
  if ((await claimNumbers(bucket, address, claimed)).length === claimed.length) return
  await bucket.committer.write({
    address,
    kind,
    value: undefined,
    by: version.by,
    expect: { n: version.n },
    keys: undefined,
    ttl: undefined,
  })
  throw new Kv4Error('key_exists')
}
