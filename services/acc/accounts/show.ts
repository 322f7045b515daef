import type { AccountProfile, StoredAccount, StoredLogin } from '../../../auth'
import { VersionTag, type JsonObject, type Key, type Version } from '../../../core'
import { VER } from '../../ver'
import { without } from '../property'

/** Properties that every account has, in the order of the creation's answer. */
const KNOWN = [
  'username',
  'term',
  'plan',
  'last_name',
  'first_name',
  'email',
  'customer_id',
  'created',
  'company',
  'active',
] as const satisfies readonly (keyof AccountProfile)[]

/** What a read answers: contract §6.1, and after that what was added. No secret, no password, no billing. */
export function showAccount(_key: Key, login: StoredLogin): JsonObject {
  const { profile } = login as StoredAccount
  const { username, last_name, first_name, email, created, company, active } = profile
  return {
    username,
    last_name,
    first_name,
    email,
    created,
    company,
    active,
    ...without(profile, KNOWN),
  }
}

/** What the creation answers, the one time that secret and password are shown; `password` null: none was given. */
export function showCreated(
  { profile }: StoredAccount,
  secret: string,
  password: string | undefined,
  version: Version,
): JsonObject {
  const { username, term, plan, last_name, first_name, email, customer_id, created, company, active } =
    profile
  return {
    username,
    term,
    secret,
    plan,
    password: password ?? null,
    last_name,
    first_name,
    email,
    customer_id,
    created,
    company,
    active,
    ...without(profile, KNOWN),
    [VER]: VersionTag.of(version),
  }
}
