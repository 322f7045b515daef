import { Kv4Error, VersionTag, type Json, type Version } from '../../core'
import type { ServiceRequest } from '../module'
import { SPLAT, VER } from '../ver'

type Conditions = Pick<ServiceRequest, 'ifMatch' | 'ifNoneMatch'>

/** @throws precondition_failed when the entry (undefined: none) is not as If-Match and If-None-Match ask */
export function checkHeaders({ ifMatch, ifNoneMatch }: Conditions, version: Version | undefined): void {
  if (ifNoneMatch !== undefined && ifNoneMatch !== '*')
    throw new Kv4Error('bad_request', { fields: { reason: 'If-None-Match of a write is `*`' } })
  if (ifNoneMatch !== undefined && version !== undefined) throw new Kv4Error('precondition_failed')
  if (ifMatch === undefined) return
  if (version === undefined || (ifMatch !== '*' && ifMatch !== VersionTag.of(version)))
    throw new Kv4Error('precondition_failed')
}

/**
 * Updates of logins need no `_ver_`; one that is sent all the same has to be the present one.
 * @throws version_conflict
 */
export function checkVer(ver: Json | undefined, version: Version): void {
  if (ver === undefined || ver === null || ver === SPLAT) return
  if (ver !== VersionTag.of(version))
    throw new Kv4Error('version_conflict', { fields: { path: `body.v.${VER}` } })
}
