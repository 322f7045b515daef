import {
  Kv4Error,
  Path,
  isJsonObject,
  isKv4Error,
  type Bucket,
  type JsonObject,
  type Key,
} from '../../../core'
import type { HookAddress, HookFormat, StoredHook, WantedHook } from '../../hook'
import type { HookBook } from '../../hook-book'
import type { MountRequest, MountRoute } from '../../mount'
import type { Kind } from '../document'
import { APPS, HOSTS, WEB_HOOKS, parseName } from '../places'
import { NAME, SLASH, placeIn } from './pattern'
import { empty, json, text } from './reply'

const LAYER = { app: APPS, srv: HOSTS } as const

/**
 * What is posted: contract, Notifications. `uri` is the resource that has changed, application or service; a hook on
 * `test` hears of `test2` too. No headers, as the original sends none.
 */
export const NESOI_FORMAT: HookFormat = {
  name: 'nesoi',
  signed: false,
  message(event, { address: { name } }) {
    const { layer, path, key } = event.address
    const uri = layer === APPS ? `/app/${key}` : `/srv${path}`
    const what = event.kind !== 'series' && event.version.op === 'delete' ? 'deleted' : 'updated'
    return { body: JSON.stringify({ name, uri, what }), headers: {} }
  },
}

/** The hooks of one application or service. What they hang on need not be there. */
export function webHooks(book: HookBook): readonly MountRoute[] {
  return [...hooksOf(book, 'app'), ...hooksOf(book, 'srv')]
}

function hooksOf(book: HookBook, kind: Kind): readonly MountRoute[] {
  const all = new RegExp(`^/${kind}/${NAME}/${WEB_HOOKS}${SLASH}`)
  const one = new RegExp(`^/${kind}/${NAME}/${WEB_HOOKS}/${NAME}${SLASH}`)
  const wanted = (on: Key, endpoint: string): WantedHook => ({
    endpoint,
    format: NESOI_FORMAT.name,
    layer: LAYER[kind],
    path: Path.root,
    prefix: on,
  })
  return [
    {
      methods: ['GET'],
      pattern: all,
      access: 'account',
      at: placeIn(kind),
      summary: 'The hooks, by name.',
      async run({ bucket }, [, on]) {
        const name = parseName(on!)
        const hooks = await book.list(bucket, { service: kind, path: Path.parse(name) })
        const shown: Record<string, JsonObject> = {}
        for (const hook of hooks) shown[hook.address.name] = await view(book, bucket, kind, hook)
        return json(200, shown)
      },
    },
    {
      methods: ['POST'],
      pattern: all,
      access: 'account',
      at: placeIn(kind),
      summary: 'Adds a hook, `{name, endpoint}`: 201, or 409 if there is one of that name.',
      async run(request, [, on]) {
        const { body, name, endpoint } = await sentHook(request)
        const address = addressOf(kind, on!, name)
        try {
          const by = request.principal.login
          await book.put(request.bucket, address, wanted(parseName(on!), endpoint), { by, expect: 'absent' })
        } catch (error) {
          if (isKv4Error(error, 'version_conflict')) return text(409, 'already exists')
          throw error
        }
        const location = `${request.origin}/${kind}/${on!}/${WEB_HOOKS}/${name}`
        return json(201, body, [['Location', location]])
      },
    },
    {
      methods: ['GET'],
      pattern: one,
      access: 'account',
      at: placeIn(kind),
      summary: 'A hook.',
      async run({ bucket }, [, on, name]) {
        const hook = await book.get(bucket, addressOf(kind, on!, name!))
        if (hook === undefined) throw new Kv4Error('not_found')
        return json(200, await view(book, bucket, kind, hook))
      },
    },
    {
      methods: ['PUT'],
      pattern: one,
      access: 'account',
      at: placeIn(kind),
      summary: 'Changes a hook, or adds it: `{name, endpoint}`, the name as in the URL.',
      async run(request, [, on, name]) {
        const sent = await sentHook(request)
        if (sent.name !== name)
          throw new Kv4Error('bad_request', { fields: { reason: 'another name than in the URL' } })
        const address = addressOf(kind, on!, sent.name)
        const by = request.principal.login
        await book.put(request.bucket, address, wanted(parseName(on!), sent.endpoint), { by })
        return json(200, sent.body)
      },
    },
    {
      methods: ['DELETE'],
      pattern: one,
      access: 'account',
      at: placeIn(kind),
      summary: 'Removes a hook.',
      async run({ bucket, principal }, [, on, name]) {
        const removed = await book.remove(bucket, addressOf(kind, on!, name!), { by: principal.login })
        if (!removed) throw new Kv4Error('not_found')
        return empty(200)
      },
    },
  ]
}

function addressOf(kind: Kind, on: string, name: string): HookAddress {
  return { service: kind, path: Path.parse(parseName(on)), name: parseName(name) }
}

/** @throws bad_json, bad_request in the original's words */
async function sentHook(
  request: MountRequest,
): Promise<{ readonly body: JsonObject; readonly name: string; readonly endpoint: string }> {
  const body = await request.json()
  if (!isJsonObject(body))
    throw new Kv4Error('bad_request', { fields: { reason: 'a hook is a JSON object' } })
  const member = (name: string): string => {
    const value = Object.hasOwn(body, name) ? body[name] : undefined
    if (value === undefined)
      throw new Kv4Error('bad_request', { fields: { reason: `required field "${name}" is missing` } })
    if (typeof value !== 'string')
      throw new Kv4Error('bad_request', { fields: { reason: `"${name}" is not a string` } })
    return value
  }
  return { body, name: member('name'), endpoint: member('endpoint') }
}

/** Both generations' members: contract, Routes. */
async function view(
  book: HookBook,
  bucket: Bucket,
  kind: Kind,
  { address, hook }: StoredHook,
): Promise<JsonObject> {
  const { lastHit } = await book.status(bucket, hook)
  const on = address.path.slice(1)
  return {
    name: address.name,
    endpoint: hook.endpoint,
    uri: `/${kind}/${on}`,
    pattern: `${kind}:${on}`,
    'last-hit': (lastHit ?? hook.created) / 1000,
  }
}
