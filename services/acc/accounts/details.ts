import { Kv4Error, type Json, type JsonObject } from '../../../core'
import { VER } from '../../ver'
import { parseEmail } from '../email'
import { propertiesOf, type LoginBody } from '../login-body'
import { optionalFlag, optionalText, texts, without } from '../property'
import { secretChange, SECRET_PROPERTIES, type SecretChange } from '../secret-change'

const NULLABLE = ['first_name', 'last_name', 'customer_id', 'company'] as const
const PLAIN = ['term', 'plan'] as const
/** Not taken over as they are sent. */
const SPECIAL = [
  ...SECRET_PROPERTIES,
  ...NULLABLE,
  ...PLAIN,
  VER,
  'username',
  'password',
  'email',
  'created',
  'active',
]

/** What a body says of an account. */
export interface AccountDetails {
  readonly username: string
  /** Changes of the profile, `email` among them where it was sent. */
  readonly profile: JsonObject
  readonly email?: string
  readonly password?: string
  readonly secret?: SecretChange
  readonly ver?: Json
}

/**
 * Reads `{"k", "v"}` of a write to `/accounts`: contract §6.1. `created` cannot be set and is passed over.
 * @throws require_account_details, key_missing, bad_username, username_is_immutable, bad_email, bad_secret_format,
 *   bad_request for a property of the wrong type
 */
export function accountDetails(body: LoginBody, isUsername: (name: string) => boolean): AccountDetails {
  const v = propertiesOf(body)
  if (v === undefined) throw new Kv4Error('require_account_details')
  const username = body?.k
  if (username === undefined || username === null) throw new Kv4Error('key_missing')
  if (typeof username !== 'string' || !isUsername(username)) throw new Kv4Error('bad_username')
  if (v.username !== undefined && v.username !== null && v.username !== username)
    throw new Kv4Error('username_is_immutable')

  const email = v.email === undefined ? undefined : parseEmail(v.email)
  const active = optionalFlag(v, 'active')
  const password = optionalText(v, 'password')
  const secret = secretChange(v)
  return {
    username,
    profile: {
      ...without(v, SPECIAL),
      ...texts(v, NULLABLE),
      ...Object.fromEntries(Object.entries(texts(v, PLAIN)).filter(([, value]) => value !== null)),
      ...(email !== undefined && { email }),
      ...(active !== undefined && { active }),
    },
    ...(email !== undefined && { email }),
    ...(password !== undefined && { password }),
    ...(secret !== undefined && { secret }),
    ...(v[VER] !== undefined && { ver: v[VER] }),
  }
}
