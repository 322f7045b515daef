import type { AccountProfile, StoredAccount } from '../../../auth'
import {
  Key,
  Kv4Error,
  VersionTag,
  isKv4Error,
  type BucketName,
  type Engine,
  type Json,
  type Version,
  addressIn,
} from '../../../core'
import { Reply, route, type Route, type ServiceRequest } from '../../module'
import { bucketOf } from '../bucket-of'
import { emailKey, parseEmail } from '../email'
import { LoginBody } from '../login-body'
import { checkHeaders } from '../precondition'
import type { AccRoom } from '../room'
import { newSecret } from '../secret-change'
import { accountDetails, type AccountDetails } from './details'
import { showCreated } from './show'

/** PUT /accounts: contract §6.1. */
export function create(room: AccRoom): Route {
  return route({
    method: 'PUT',
    at: '/accounts',
    access: 'holder',
    summary:
      'Creates the account `k` ($sys: a primary account, a primary: a sub-account). The answer alone shows its secret and password.',
    input: { body: LoginBody },
    async run(request) {
      return createAccount(room, request, accountDetails(request.body, room.isUsername))
    },
  })
}

/**
 * The entry first, whose creation one of several wins, then the bucket. When the node goes down in between, the bucket
 * is made at the first login.
 * @throws bad_email, username_exists, email_exists, bad_secret_format, bad_password_format, bad_bucket_name
 */
export async function createAccount(
  room: AccRoom,
  request: Pick<ServiceRequest, 'bucket' | 'principal' | 'ifMatch' | 'ifNoneMatch'>,
  details: AccountDetails,
): Promise<Reply> {
  const email = parseEmail(details.email)
  const bucket = bucketOf(request.principal, details.username)
  return room.turns.take(bucket, async () => {
    await checkFree(room, request, details.username, email, bucket)
    const { secret, stored } = await newSecret(room, bucket, details.secret)
    const password = details.password === undefined ? undefined : await room.passwords.hash(details.password)
    const account: StoredAccount = {
      profile: newProfile(details, email),
      proof: { secrets: [stored], ...(password !== undefined && { password }) },
    }
    const version = await putNew(room, request, details.username, email, account)
    await makeBucket(room.engine, bucket)
    await checkStillThere(room, request, details.username, bucket)
    const value = showCreated(account, secret, details.password, version)
    return new Reply(value, { created: true, tag: VersionTag.of(version) })
  })
}

function newProfile({ username, profile }: AccountDetails, email: string): AccountProfile {
  return {
    username,
    term: 'monthly',
    plan: 'free',
    first_name: null,
    last_name: null,
    customer_id: null,
    company: null,
    active: true,
    ...profile,
    email,
    created: Math.floor(Date.now() / 1000),
  }
}

/** Tells before anything is hashed; whether it is so in the end, the put decides. */
async function checkFree(
  { places, engine }: AccRoom,
  request: Pick<ServiceRequest, 'bucket' | 'ifMatch' | 'ifNoneMatch'>,
  username: string,
  email: string,
  bucket: BucketName,
): Promise<void> {
  const version = await request.bucket.get(addressIn(places.accounts, Key.parse(username)), {
    consistent: true,
  })
  checkHeaders(request, version)
  if (version !== undefined) throw new Kv4Error('username_exists')
  if (await request.bucket.find(places.accounts, 'k2', emailKey(email), { consistent: true }))
    throw new Kv4Error('email_exists')
  // A bucket without an account, e.g. from a restore: nobody may come into data by choosing a name.
  if (await holdsData(engine, bucket))
    throw new Kv4Error('username_exists', { detail: `bucket ${bucket} holds data but has no account` })
}

async function holdsData(engine: Engine, bucket: BucketName): Promise<boolean> {
  try {
    return (await engine.bucket(bucket).layers()).length > 0
  } catch (error) {
    if (isKv4Error(error, 'bucket_not_found')) return false
    throw error
  }
}

/**
 * An empty bucket that is there already has a history, which would be readable. It is dropped only now that the entry
 * is ours: before, another node may have been making the same account.
 */
async function makeBucket(engine: Engine, bucket: BucketName): Promise<void> {
  if ((await engine.create(bucket)) || (await holdsData(engine, bucket))) return
  await engine.drop(bucket)
  await engine.create(bucket)
}

async function putNew(
  { places }: AccRoom,
  { bucket, principal }: Pick<ServiceRequest, 'bucket' | 'principal'>,
  username: string,
  email: string,
  account: StoredAccount,
): Promise<Version> {
  try {
    return await bucket.put(addressIn(places.accounts, Key.parse(username)), account as unknown as Json, {
      by: principal.login,
      expect: 'absent',
      keys: { k2: emailKey(email) },
    })
  } catch (error) {
    if (isKv4Error(error, 'version_conflict')) throw new Kv4Error('username_exists', { cause: error })
    if (isKv4Error(error, 'key_exists')) throw new Kv4Error('email_exists', { cause: error })
    throw error
  }
}

/** While the bucket was made, the account or its holder may have been deleted by another request, or on another node. */
async function checkStillThere(
  { places, engine }: AccRoom,
  request: Pick<ServiceRequest, 'bucket'>,
  username: string,
  bucket: BucketName,
): Promise<void> {
  try {
    const address = addressIn(places.accounts, Key.parse(username))
    if ((await request.bucket.get(address, { consistent: true })) !== undefined) return
  } catch (error) {
    if (!isKv4Error(error, 'bucket_not_found')) throw error
  }
  await engine.drop(bucket)
  throw new Kv4Error('not_found', { detail: `account ${username} was deleted while it was created` })
}
