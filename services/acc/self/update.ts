import type { StoredLogin } from '../../../auth'
import { Kv4Error, VersionTag, type Json, type JsonObject, type Version } from '../../../core'
import { Reply, route, type Route } from '../../module'
import { LoginBody, propertiesOf } from '../login-body'
import { shownWithVer } from '../login-read'
import { checkHeaders } from '../precondition'
import { optionalText, without } from '../property'
import type { AccRoom } from '../room'
import { SECRET_PROPERTIES, newSecret, replaceSecret, secretChange, showRotated } from '../secret-change'
import { ownEntry } from './own-entry'

/** POST /self: ours, not of the contract, in which only the holder of an account can change its secret. */
export function update(room: AccRoom): Route {
  return route({
    method: 'POST',
    at: '/self',
    access: 'account',
    summary:
      'Changes the caller\'s own `password` or, by `"secret": "rotate"`, secret, as in `/accounts`. Not for administrators.',
    input: { body: LoginBody },
    async run(request) {
      const { principal } = request
      // An administrator could shut the owner out.
      if (principal.kind === 'admin') throw new Kv4Error('forbidden')
      const v = propertiesOf(request.body)
      if (v === undefined) throw new Kv4Error('require_account_details')
      assertNothingElse(v)
      const own = ownEntry(room, principal)

      const now = Date.now()
      const asked = secretChange(v)
      const rotated = asked && { ...(await newSecret(room, principal.bucket, asked)), overlap: asked.overlap }
      const chosen = optionalText(v, 'password')
      const password = chosen === undefined ? undefined : await room.passwords.hash(chosen)

      const change = (current: Version | undefined): Json => {
        checkHeaders(request, current)
        const login = current?.v as unknown as StoredLogin | undefined
        if (login === undefined || login.deleting) throw new Kv4Error('not_found')
        const proof = {
          ...(rotated ? replaceSecret(login.proof, rotated.stored, rotated.overlap, now) : login.proof),
          ...(password !== undefined && { password }),
        }
        return { ...login, proof } as unknown as Json
      }
      const version = await room.engine
        .bucket(own.bucket)
        .modify(own.address, change, { by: principal.login })
      const { _ver_, ...shown } = shownWithVer(own.show, own.address.key, version)
      return new Reply(
        { ...shown, ...(rotated && showRotated(rotated.secret, rotated.overlap, now)), _ver_: _ver_! },
        { tag: VersionTag.of(version) },
      )
    },
  })
}

function assertNothingElse(v: JsonObject): void {
  const [other] = Object.keys(without(v, [...SECRET_PROPERTIES, 'password']))
  if (other !== undefined)
    throw new Kv4Error('bad_request', {
      fields: { path: `body.v.${other}`, reason: 'only the holder changes this' },
    })
}
