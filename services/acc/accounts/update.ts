import type { StoredAccount } from '../../../auth'
import { Key, Kv4Error, VersionTag, isKv4Error, type Json, type Version, addressIn } from '../../../core'
import { Reply, route, type Route, type ServiceRequest } from '../../module'
import { bucketOf } from '../bucket-of'
import { emailKey } from '../email'
import { LoginBody } from '../login-body'
import { shownWithVer } from '../login-read'
import { checkHeaders, checkVer } from '../precondition'
import type { AccRoom } from '../room'
import { newSecret, replaceSecret, showRotated } from '../secret-change'
import { createAccount } from './create'
import { accountDetails, type AccountDetails } from './details'
import { showAccount } from './show'

/** POST /accounts: contract §6.1. */
export function update(room: AccRoom): Route {
  return route({
    method: 'POST',
    at: '/accounts',
    access: 'holder',
    summary:
      'Merges properties into the account `k`, or creates it. `"secret": "rotate"` makes a new secret, shown once; the old one stays valid for `secret_overlap` seconds (24 hours).',
    input: { body: LoginBody },
    async run(request) {
      const details = accountDetails(request.body, room.isUsername)
      return (await merge(room, request, details)) ?? createAccount(room, request, details)
    },
  })
}

/** undefined: there is no such account. */
async function merge(
  room: AccRoom,
  request: Pick<ServiceRequest, 'bucket' | 'principal' | 'ifMatch' | 'ifNoneMatch'>,
  details: AccountDetails,
): Promise<Reply | undefined> {
  const { bucket, principal } = request
  const address = addressIn(room.places.accounts, Key.parse(details.username))
  if ((await bucket.get(address)) === undefined) return undefined

  const now = Date.now()
  const rotated = details.secret && {
    ...(await newSecret(room, bucketOf(principal, details.username), details.secret)),
    overlap: details.secret.overlap,
  }
  const password = details.password === undefined ? undefined : await room.passwords.hash(details.password)

  const change = (current: Version | undefined): Json => {
    if (current === undefined) throw new Gone()
    checkHeaders(request, current)
    checkVer(details.ver, current)
    const { profile, proof, deleting } = current.v as unknown as StoredAccount
    if (deleting) throw new Kv4Error('locked', { detail: 'the account is being deleted' })
    const changed = {
      profile: { ...profile, ...details.profile },
      proof: {
        ...(rotated ? replaceSecret(proof, rotated.stored, rotated.overlap, now) : proof),
        ...(password !== undefined && { password }),
      },
    }
    return changed as unknown as Json
  }
  try {
    const version = await bucket.modify(address, change, {
      by: principal.login,
      ...(details.email !== undefined && { keys: { k2: emailKey(details.email) } }),
    })
    const { _ver_, ...shown } = shownWithVer(showAccount, address.key, version)
    return new Reply(
      { ...shown, ...(rotated && showRotated(rotated.secret, rotated.overlap, now)), _ver_: _ver_! },
      { tag: VersionTag.of(version) },
    )
  } catch (error) {
    if (error instanceof Gone) return undefined
    if (isKv4Error(error, 'key_exists')) throw new Kv4Error('email_exists', { cause: error })
    throw error
  }
}

/** It was deleted while its update was prepared. */
class Gone extends Error {}
