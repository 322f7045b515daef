import { isJsonObject, type Json, type JsonObject } from '../../core'

/** JSON merge patch, RFC 7396: members of objects are merged, null removes, everything else replaces. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  return isJsonObject(patch) ? mergeObject(isJsonObject(target) ? target : {}, patch) : patch
}

/** The same where both are objects. Members that stay keep their places, new ones come behind them. */
export function mergeObject(target: JsonObject, patch: JsonObject): JsonObject {
  const members = new Map(Object.entries(target))
  for (const [name, value] of Object.entries(patch))
    if (value === null) members.delete(name)
    else members.set(name, mergePatch(members.get(name), value))
  return Object.fromEntries(members)
}
