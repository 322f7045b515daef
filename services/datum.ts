import {
  BucketName,
  VersionTag,
  isJsonObject,
  type Entry,
  type Json,
  type JsonObject,
  type Place,
} from '../core'
import { withVer } from './ver'

/**
 * An entry with all its coordinates: contract §4.4, read by clients of API 3.5. `v` is always an object there, so any
 * other value is wrapped as `{"value": …}`, as those clients do themselves. There is no CouchDB revision to show, so
 * `_rev` says the version too.
 *
 *   w  the account whose data it is      t  unix seconds of the write
 *   k  key   l  layer   p  path          m, a  null      s  "c"
 *   v  value with `_ver_`                _id, _rev  the `_ver_`
 *
 * @param v what is shown of the value; default: all of it
 */
export function datum(
  bucket: BucketName,
  place: Place,
  { key, version }: Entry,
  v: Json = version.v,
): JsonObject {
  const { account, sub } = BucketName.owner(bucket)
  const tag = VersionTag.of(version)
  return {
    w: sub ?? account,
    k: key,
    l: place.layer,
    p: place.path,
    t: Math.floor(version.at / 1000),
    m: null,
    v: withVer({ n: version.n, v: isJsonObject(v) ? v : { value: v } }),
    s: 'c',
    a: null,
    _id: tag,
    _rev: tag,
  }
}
