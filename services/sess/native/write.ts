import { type JsonObject } from '../../../core'
import { writeCondition } from '../../condition'
import { writtenReply } from '../../entry-reply'
import { route, type Route } from '../../module'
import { timeToLive } from '../../time-to-live'
import { splitVer } from '../../ver'
import { SESSIONS, sessionPath } from '../places'
import type { Sessions } from '../sessions'
import { DocumentBody, sentDocument } from './document-body'

export function put(sessions: Sessions, requireVer: boolean): Route {
  return write('PUT', 'Replaces the whole namespace `k` of the session, or creates it; `ttl` in seconds.', {
    store: (...sent) => sessions.put(...sent),
    requireVer,
  })
}

/**
 * Under KV4_REQUIRE_VER too without a `_ver_`: what it does not name it cannot overwrite. With nothing but a ttl it changes
 * no namespace, but how long the session lives.
 */
export function patch(sessions: Sessions): Route {
  const change = write(
    'PATCH',
    'Changes single properties of the namespace `k`: `v` is a JSON merge patch (RFC 7396), null removes. With `ttl` alone the session lives so long from now: 1.',
    { store: (...sent) => sessions.patch(...sent), requireVer: false },
  )
  return {
    ...change,
    async run(request) {
      const body = request.body as DocumentBody
      const ttl = body?.k === undefined && body?.v === undefined ? timeToLive(body?.ttl) : undefined
      if (ttl === undefined) return change.run(request)
      await sessions.touch(request.bucket, sessionPath(request.path), ttl, request.principal.login)
      return 1
    },
  }
}

function write(
  method: 'PUT' | 'PATCH',
  summary: string,
  { store, requireVer }: { readonly store: Sessions['put']; readonly requireVer: boolean },
): Route {
  return route({
    method,
    access: 'account',
    summary,
    input: { body: DocumentBody },
    async run(request) {
      const { bucket, path, principal } = request
      const { key, document, ttl } = sentDocument(request.body)
      const { value, ver } = splitVer(document)
      const version = await store(
        bucket,
        { layer: SESSIONS, path: sessionPath(path), key },
        value as JsonObject,
        { by: principal.login, ttl, condition: writeCondition(request, ver, requireVer) },
      )
      return writtenReply(version)
    },
  })
}
