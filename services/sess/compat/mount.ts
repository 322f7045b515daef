import { parse as parseQuery } from 'node:querystring'
import {
  Key,
  isKv4Error,
  type Bucket,
  type Entry,
  type Json,
  type JsonObject,
  type Path,
  type Version,
} from '../../../core'
import type { ServiceContext } from '../../module'
import type { Mount, MountReply, MountRoute } from '../../mount'
import { SESSIONS } from '../places'
import type { Sessions } from '../sessions'
import { SessionStore } from '../store'
import { documentOf, payloadOf } from './payload'
import { Refusal, hapi, own, refuse, reply, replyParts } from './refusal'
import { sessionPathOf } from './session-path'

const MOST_PARAMETERS = 1_000
const PAGE = 1_000
/** Read at a time. */
const DOCUMENTS = 16

/**
 * Sessionator's wire, byte for byte (contract, sessionator.md). It had no logins: a call without one acts in the name
 * that KV4_MOUNT_LOGINS gives to `sessionator`.
 */
export function sessionatorMount(context: ServiceContext): Mount {
  const { sessions } = SessionStore.of(context)
  return {
    name: 'sessionator',
    segments: ['v1'],
    refuse,
    routes: [...namespaceRoutes(sessions), ...sessionRoutes(sessions)],
  }
}

const SESSION = /^\/v1\/sessions\/([^/]+)$/
const NAMESPACE = /^\/v1\/sessions\/([^/]+)\/([^/]+)$/

const at: NonNullable<MountRoute['at']> = ([, session]) => pathOf(decoded(session!))

function sessionRoutes(sessions: Sessions): readonly MountRoute[] {
  return [
    {
      methods: ['GET'],
      pattern: SESSION,
      access: 'account',
      at,
      summary: 'The names of a session’s namespaces; those that `namespaces` names with their documents.',
      async run(request, [, session]) {
        const { bucket, principal } = request
        const id = decoded(session!)
        const path = pathOf(id)
        const wanted = namespacesIn(request.rawQuery)
        const metadata = { _session: id, _namespaces: await allNames(sessions, bucket, path) }
        const seen = { by: principal.login }
        return replyParts(sessionText(portions(sessions, bucket, path, wanted, seen), metadata))
      },
    },
    {
      methods: ['DELETE'],
      pattern: SESSION,
      access: 'account',
      at,
      summary: 'Removes a session.',
      async run(request, [, session]) {
        await payloadOf(request)
        const path = pathOf(decoded(session!))
        const removed = await sessions.removeAll(request.bucket, path, request.principal.login)
        return removed === 0 ? own(404, 'invalid_session') : reply(200, { removed: 1 })
      },
    },
  ]
}

function namespaceRoutes(sessions: Sessions): readonly MountRoute[] {
  return [
    {
      methods: ['GET'],
      pattern: NAMESPACE,
      access: 'account',
      at,
      summary: 'A namespace.',
      async run({ bucket, principal }, [, session, namespace]) {
        const { id, path, name } = addressed(session!, namespace!)
        const key = keyOf(name)
        const version =
          key && (await sessions.get(bucket, { layer: SESSIONS, path, key }, { by: principal.login }))
        return version === undefined ? own(404, 'not_found') : reply(200, document(id, name, version))
      },
    },
    {
      methods: ['PUT'],
      pattern: NAMESPACE,
      access: 'account',
      at,
      summary: 'Replaces a namespace as a whole, or creates it.',
      async run(request, [, session, namespace]) {
        const { id, path, name } = addressed(session!, namespace!)
        const sent = await documentOf(request)
        const key = keyOf(name)
        if (key === undefined) return hapi(400)
        const how = { by: request.principal.login }
        const version = await sessions.put(request.bucket, { layer: SESSIONS, path, key }, sent, how)
        return reply(200, document(id, name, version))
      },
    },
    {
      methods: ['DELETE'],
      pattern: NAMESPACE,
      access: 'account',
      at,
      summary: 'Removes a namespace; with its last one the session.',
      async run(request, [, session, namespace]): Promise<MountReply> {
        const { path, name } = addressed(session!, namespace!)
        await payloadOf(request)
        const key = keyOf(name)
        const how = { by: request.principal.login }
        const isGone =
          key !== undefined && (await sessions.remove(request.bucket, { layer: SESSIONS, path, key }, how))
        return isGone ? reply(200, { success: true }) : own(404, 'not_found')
      },
    },
  ]
}

/**
 * A session with documents of its, as JSON.stringify would write it as a whole: they may be hundreds, of a MiB each.
 * @param metadata comes in the places of documents of these names, or behind all
 */
async function* sessionText(
  documents: AsyncIterable<readonly Entry[]>,
  { _session, _namespaces }: { readonly _session: string; readonly _namespaces: readonly string[] },
): AsyncGenerator<string, void, undefined> {
  const metadata = new Map<string, Json>([
    ['_session', _session],
    ['_namespaces', _namespaces],
  ])
  const shown = new Set<string>()
  let before = '{'
  function member(name: string, value: Json): string {
    const text = `${before}${JSON.stringify(name)}:${JSON.stringify(value)}`
    before = ','
    shown.add(name)
    return text
  }
  for await (const entries of documents)
    for (const { key, version } of entries)
      yield member(key, metadata.get(key) ?? document(_session, key, version))
  for (const [name, value] of metadata) if (!shown.has(name)) yield member(name, value)
  yield '}'
}

async function* portions(
  sessions: Sessions,
  bucket: Bucket,
  session: Path,
  names: readonly Key[],
  seen: { readonly by: string },
): AsyncGenerator<readonly Entry[], void, undefined> {
  let after: Key | undefined
  do {
    const page = { limit: DOCUMENTS, ...(after !== undefined && { after }) }
    const { items, next } = await sessions.several(bucket, session, names, page, seen)
    yield items
    after = next
  } while (after !== undefined)
}

/** What was sent, and where it lies: members of that name keep their places, the others come behind. */
function document(id: string, namespace: string, { v, at }: Version): JsonObject {
  const metadata = { _session: id, _namespace: namespace, _modified: new Date(at).toISOString() }
  return inPlace(Object.entries(v as JsonObject), metadata)
}

function inPlace(members: readonly (readonly [string, Json])[], more: JsonObject): JsonObject {
  return Object.fromEntries(new Map([...members, ...Object.entries(more)]))
}

async function allNames(sessions: Sessions, bucket: Bucket, session: Path): Promise<readonly Key[]> {
  const names: Key[] = []
  let after: Key | undefined
  do {
    const { items, next } = await sessions.names(bucket, session, {
      limit: PAGE,
      ...(after !== undefined && { after }),
    })
    names.push(...items)
    after = next
  } while (after !== undefined)
  return names
}

function addressed(session: string, namespace: string) {
  const id = decoded(session)
  return { id, path: pathOf(id), name: decoded(namespace) }
}

/** @throws Refusal for percent encoding that is none */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Refusal(hapi(400))
  }
}

/** @throws Refusal for an id that is too long */
function pathOf(id: string): Path {
  try {
    return sessionPathOf(id)
  } catch (error) {
    throw isKv4Error(error, 'bad_segment') ? new Refusal(hapi(400)) : error
  }
}

/** undefined: no namespace can have this name. */
function keyOf(name: string): Key | undefined {
  try {
    return Key.parse(name)
  } catch (error) {
    if (isKv4Error(error, 'bad_key')) return undefined
    throw error
  }
}

/** In the order of the answer; what is empty, or can be no name, is not there. */
function namespacesIn(rawQuery: string): readonly Key[] {
  const { namespaces = [] } = parseQuery(rawQuery, '&', '=', { maxKeys: MOST_PARAMETERS })
  const names = typeof namespaces === 'string' ? [namespaces] : namespaces
  // As an object has its members: those that are array indices come first.
  const members = Object.keys(Object.fromEntries(names.map((name) => [name, null])))
  return members.flatMap((name) => keyOf(name) ?? [])
}
