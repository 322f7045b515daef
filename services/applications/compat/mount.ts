import { Kv4Error, Path, type Address, type Bucket } from '../../../core'
import type { HookBook } from '../../hook-book'
import type { Mount, MountReply, MountRequest, MountRoute } from '../../mount'
import { asked, documentOf, seenAt, type Kind } from '../document'
import { everyEntry, masterOf, type Documents } from '../documents'
import { APPS_PLACE, HOSTS, WEB_HOOKS, appAddress, hostAddress, servicePlace } from '../places'
import { NAME, SLASH, placeIn } from './pattern'
import { ObjectText, empty, json, jsonParts, refuse } from './reply'
import { webHooks } from './web-hooks'

/** A host of this name cannot be reached: contract. */
const HOST = `(?!${WEB_HOOKS}${SLASH})${NAME}`
const PAGE = 500

/**
 * The wire of Nesoi (contract, nesoi.md), both generations in one: what either answers is in the answer, and the rest
 * is an addition to it.
 */
export function nesoi(documents: Documents, book: HookBook): Mount {
  const routes = [
    ...webHooks(book),
    links('app'),
    links('srv'),
    ...appRoutes(documents),
    ...hostRoutes(documents),
  ]
  return {
    name: 'nesoi',
    segments: ['app', 'srv'],
    routes,
    refuse: (error, { rawPath }) =>
      refuse(
        error,
        routes.flatMap(({ pattern, methods }) => (pattern.test(rawPath) ? methods : [])),
      ),
  }
}

function appRoutes(documents: Documents): readonly MountRoute[] {
  const one = new RegExp(`^/app/${NAME}${SLASH}`)
  return [
    {
      methods: ['GET'],
      pattern: new RegExp(`^/app${SLASH}`),
      access: 'account',
      summary: 'The applications by name, and their names in `apps`.',
      run: ({ bucket }) => jsonParts(applications(bucket)),
    },
    ...documentRoutes(documents, 'app', one, ([, name]) => appAddress(name!)),
  ]
}

function hostRoutes(documents: Documents): readonly MountRoute[] {
  const one = new RegExp(`^/srv/${NAME}/${HOST}${SLASH}`)
  return [
    {
      methods: ['GET'],
      pattern: new RegExp(`^/srv${SLASH}`),
      access: 'account',
      summary: 'The services by name, each with its hosts by name.',
      run: ({ bucket }) => jsonParts(services(bucket)),
    },
    {
      methods: ['GET'],
      pattern: new RegExp(`^/srv/${NAME}${SLASH}`),
      access: 'account',
      at: placeIn('srv'),
      summary: 'The hosts of a service by name, `{}` where there are none; `master=1`: the one that leads.',
      async run(request, [, service]) {
        const place = servicePlace(service!)
        const master = new URLSearchParams(request.rawQuery).get('master')
        if (master !== '1' && master !== 'true')
          return jsonParts(hostsAt(request.bucket, place, new ObjectText()))
        const found = await masterOf(request.bucket, place)
        if (found === undefined) throw new Kv4Error('not_found')
        return json(200, documentOf(found.version), [
          ['Content-Location', `${request.origin}/srv/${service!}/${found.host}`],
        ])
      },
    },
    ...documentRoutes(documents, 'srv', one, ([, service, host]) => hostAddress(service!, host!)),
  ]
}

/** One description: N1 does not let go of applications, the README says that it does. */
function documentRoutes(
  documents: Documents,
  kind: Kind,
  pattern: RegExp,
  addressIn: (match: RegExpExecArray) => Address,
): readonly MountRoute[] {
  const what = kind === 'app' ? 'application' : 'host'
  return [
    {
      methods: ['GET'],
      pattern,
      access: 'account',
      at: placeIn(kind),
      summary: `The ${what}.`,
      async run({ bucket }, match) {
        const version = await bucket.get(addressIn(match))
        if (version === undefined) throw new Kv4Error('not_found')
        return json(200, view(kind, version))
      },
    },
    {
      methods: ['PUT'],
      pattern,
      access: 'account',
      at: placeIn(kind),
      summary: `Describes the ${what}, and replaces what was there; answers what is stored.`,
      async run(request, match) {
        const address = addressIn(match)
        const sent = asked(kind, address.key, await request.json())
        const by = request.principal.login
        return json(200, documentOf(await documents.put(request.bucket, address, sent, { by })))
      },
    },
    {
      methods: ['DELETE'],
      pattern,
      access: 'account',
      at: placeIn(kind),
      summary: `Removes the ${what}.`,
      async run({ bucket, principal }, match): Promise<MountReply> {
        const removed = await documents.remove(bucket, addressIn(match), { by: principal.login })
        if (!removed) throw new Kv4Error('not_found')
        return empty(200)
      },
    },
  ]
}

/** Where one subscribes, also to what is not there yet. */
function links(kind: Kind): MountRoute {
  return {
    methods: ['HEAD'],
    pattern: new RegExp(`^/${kind}/${NAME}${SLASH}`),
    access: 'account',
    at: placeIn(kind),
    summary: 'The `Link` to the hooks.',
    run: async ({ origin }: MountRequest, [, name]) =>
      empty(200, [['Link', `${origin}/${kind}/${name!}/${WEB_HOOKS}, rel="Subscriptions"`]]),
  }
}

function view(kind: Kind, version: Parameters<typeof documentOf>[0]) {
  const document = documentOf(version)
  return kind === 'srv' ? seenAt(document, Date.now()) : document
}

async function* applications(bucket: Bucket): AsyncGenerator<string, void, undefined> {
  const text = new ObjectText()
  const names: string[] = []
  for await (const entries of everyEntry(bucket, APPS_PLACE))
    for (const { key, version } of entries) {
      names.push(key)
      // A member has one value only, and the list is the one that is not to be had elsewhere.
      if (key !== 'apps') yield text.member(key, documentOf(version))
    }
  yield text.member('apps', names)
  yield text.end()
}

async function* services(bucket: Bucket): AsyncGenerator<string, void, undefined> {
  const text = new ObjectText()
  let after: Path | undefined
  do {
    const page = await bucket.paths(HOSTS, Path.root, 1, {
      limit: PAGE,
      ...(after !== undefined && { after }),
    })
    for (const path of page.items) {
      const service = path.slice(1)
      const inside = new ObjectText(1)
      yield text.open(service) + inside.member('name', service) + inside.open('hosts')
      yield* hostsAt(bucket, { layer: HOSTS, path }, new ObjectText(2))
      yield inside.end()
    }
    after = page.next
  } while (after !== undefined)
  yield text.end()
}

async function* hostsAt(
  bucket: Bucket,
  place: ReturnType<typeof servicePlace>,
  text: ObjectText,
): AsyncGenerator<string, void, undefined> {
  for await (const entries of everyEntry(bucket, place)) {
    const now = Date.now()
    for (const { key, version } of entries) yield text.member(key, seenAt(documentOf(version), now))
  }
  yield text.end()
}
