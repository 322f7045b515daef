import type { StoredLogin } from '../../../auth'
import type { Principal } from '../../../auth/principal'
import { BucketName, Key, type Address, type JsonObject, addressIn } from '../../../core'
import { showAccount } from '../accounts/show'
import type { Show } from '../login-read'
import type { AccRoom } from '../room'

/** The account in whose bucket a principal acts: where its entry is, and how it is shown. */
export interface OwnEntry {
  readonly bucket: BucketName
  readonly address: Address
  readonly show: Show
}

export function ownEntry({ places }: AccRoom, { account, sub, bucket }: Principal): OwnEntry {
  if (sub !== undefined)
    return {
      bucket: BucketName.of(account),
      address: addressIn(places.accounts, Key.parse(sub)),
      show: showAccount,
    }
  return bucket === BucketName.system
    ? { bucket, address: addressIn(places.system, Key.parse(account)), show: showSystem }
    : {
        bucket: BucketName.system,
        address: addressIn(places.accounts, Key.parse(account)),
        show: showAccount,
      }
}

function showSystem(key: Key, { profile }: StoredLogin): JsonObject {
  return { username: key, created: profile.created, active: profile.active }
}
