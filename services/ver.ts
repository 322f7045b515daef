import { VersionTag, isJsonObject, type Json, type JsonObject, type Version } from '../core'

/** The member of an object value that carries its version on the wire; never stored. */
export const VER = '_ver_'

/** As `_ver_` of a write: overwrite whatever is there. */
export const SPLAT = '_splat_'

/** The value as clients see it: an object says its version, anything else cannot. */
export function withVer(version: Pick<Version, 'n' | 'v'>): Json {
  return isJsonObject(version.v) ? { ...version.v, [VER]: VersionTag.of(version) } : version.v
}

/** `withVer` as JSON. The member is put into the text: into a copy of the object costs as much again. */
export function verText(version: Pick<Version, 'n' | 'v'>): string {
  const { v } = version
  if (!isJsonObject(v) || Object.hasOwn(v, VER)) return JSON.stringify(withVer(version))
  const text = JSON.stringify(v)
  const member = `"${VER}":"${VersionTag.of(version)}"}`
  return text === '{}' ? '{' + member : text.slice(0, -1) + ',' + member
}

/** The value as it is stored, and what its `_ver_` said; null says nothing, as an object that was never read does. */
export function splitVer(value: Json): { readonly value: Json; readonly ver?: Json } {
  if (!isJsonObject(value) || !Object.hasOwn(value, VER)) return { value }
  const { [VER]: ver, ...rest } = value as JsonObject & { readonly [VER]: Json }
  return ver === null ? { value: rest } : { value: rest, ver }
}
