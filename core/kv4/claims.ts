import { Kv4Error } from '../errors'
import type { Address, Place } from './address'
import { Key } from './key'
import { Layer } from './layer'
import type { SecondaryKeys, Slot, Version } from './version'
import { SLOTS } from './version'

/**
 * Secondary keys. A claim is an entry of the engine's own layer `^<slot>:<layer>` at the same path, whose key is the
 * claimed value and whose value names the key that claims it:
 *
 *     1. claim every new value        (refused while another live entry carries it)
 *     2. write the entry              (only on the head that step 1 looked at)
 *     3. release the values it left   (only claims that nobody has renewed since)
 *
 * A crash after 1 or 2 leaves a claim that its entry does not carry. Lookups check the entry, so it never gives a wrong
 * answer; the next who wants the value takes the claim over once it is older than CLAIM_GRACE_MS.
 */
export const CLAIM_GRACE_MS = 10_000

/** An address in a claims layer. */
export function claimAddress(place: Place, slot: Slot, value: string): Address {
  return { layer: Layer.internal(`${slot}:${place.layer}`), path: place.path, key: parseSecondary(value) }
}

/** @throws bad_secondary_key */
export function parseSecondary(value: string): Key {
  try {
    return Key.parse(value)
  } catch (cause) {
    throw new Kv4Error('bad_secondary_key', { cause })
  }
}

/** @throws bad_secondary_key */
export function checkSecondaryKeys(keys: SecondaryKeys): void {
  for (const slot of SLOTS) if (keys[slot] !== undefined) parseSecondary(keys[slot])
}

export interface ClaimChange {
  readonly slot: Slot
  readonly value: string
}

/** Which values a write must claim and which it leaves. */
export function claimChanges(
  before: SecondaryKeys | undefined,
  after: SecondaryKeys,
): { readonly gained: readonly ClaimChange[]; readonly left: readonly ClaimChange[] } {
  const gained: ClaimChange[] = []
  const left: ClaimChange[] = []
  for (const slot of SLOTS) {
    const was = before?.[slot]
    const becomes = after[slot]
    if (was === becomes) continue
    if (becomes !== undefined) gained.push({ slot, value: becomes })
    if (was !== undefined) left.push({ slot, value: was })
  }
  return { gained, left }
}

export function claimedBy(claim: Version | undefined): Key | undefined {
  return typeof claim?.v === 'string' ? (claim.v as Key) : undefined
}
