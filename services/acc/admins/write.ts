import type { AdminProfile, StoredAdmin } from '../../../auth'
import { Key, Kv4Error, VersionTag, type Json, type JsonObject, type Version, addressIn } from '../../../core'
import { Reply, route, type Route } from '../../module'
import { VER } from '../../ver'
import { parseEmail } from '../email'
import { LoginBody, propertiesOf } from '../login-body'
import { shownWithVer } from '../login-read'
import { checkHeaders, checkVer } from '../precondition'
import { optionalFlag, texts, without } from '../property'
import type { AccRoom } from '../room'
import { showAdmin } from './show'

const NULLABLE = ['first_name', 'last_name'] as const
/** Not taken over as they are sent. */
const SPECIAL = [...NULLABLE, VER, 'username', 'password', 'email', 'role', 'created', 'active']

/** PUT and POST /users/admins: contract §6.2. Both create or merge, since clients use either for both. */
export function write(method: 'PUT' | 'POST', room: AccRoom): Route {
  return route({
    method,
    at: '/users/admins',
    access: 'account',
    summary:
      'Creates the administrator `k`, who logs in as `account : k#password`, or merges properties into it; `password` is required to create.',
    input: { body: LoginBody },
    async run(request) {
      const { bucket, principal } = request
      const v = propertiesOf(request.body)
      if (v === undefined) throw new Kv4Error('require_password')
      const name = adminName(request.body?.k, v, room)
      const profile = profileChanges(v)
      const address = addressIn(room.places.admins, Key.parse(name))
      if (v.password === undefined && (await bucket.get(address)) === undefined)
        throw new Kv4Error('require_password')
      const password = await hashOf(v.password, room)

      const change = (current: Version | undefined): Json => {
        checkHeaders(request, current)
        if (current === undefined && password === undefined) throw new Kv4Error('require_password')
        if (current !== undefined) checkVer(v[VER], current)
        const before = (current?.v as unknown as StoredAdmin | undefined) ?? {
          profile: newProfile(),
          proof: {},
        }
        const admin: StoredAdmin = {
          profile: { ...before.profile, ...profile },
          proof: { ...before.proof, ...(password !== undefined && { password }) },
        }
        return admin as unknown as Json
      }
      const version = await bucket.modify(address, change, { by: principal.login })
      return new Reply(shownWithVer(showAdmin, address.key, version), {
        created: version.op === 'create',
        tag: VersionTag.of(version),
      })
    },
  })
}

/** @throws key_missing, bad_username, username_is_immutable */
function adminName(k: unknown, v: JsonObject, { isAdminName }: AccRoom): string {
  if (k === undefined || k === null) throw new Kv4Error('key_missing')
  if (typeof k !== 'string' || !isAdminName(k))
    throw new Kv4Error('bad_username', {
      fields: {
        reason: 'an administrator has 1 to 64 letters, digits, `_ . @ + -`, a letter or digit first',
      },
    })
  if (v.username !== undefined && v.username !== null && v.username !== k)
    throw new Kv4Error('username_is_immutable')
  return k
}

function profileChanges(v: JsonObject): JsonObject {
  const active = optionalFlag(v, 'active')
  const { role } = texts(v, ['role'])
  return {
    ...without(v, SPECIAL),
    ...(texts(v, NULLABLE) as JsonObject),
    ...(v.email !== undefined && { email: v.email === null ? null : parseEmail(v.email) }),
    ...(typeof role === 'string' && { role }),
    ...(active !== undefined && { active }),
  }
}

function newProfile(): AdminProfile {
  return {
    email: null,
    first_name: null,
    last_name: null,
    role: 'admin',
    created: Math.floor(Date.now() / 1000),
    active: true,
  }
}

/** null is what a typed client sends for a password that it does not want to change. */
async function hashOf(password: Json | undefined, { passwords }: AccRoom): Promise<string | undefined> {
  if (password === undefined || password === null) return undefined
  if (typeof password !== 'string') throw new Kv4Error('bad_password_format')
  return passwords.hash(password)
}
