import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { Principal } from '../../auth/principal'
import {
  BucketName,
  Kv4Error,
  Layer,
  isJsonObject,
  type Engine,
  type Json,
  type Key,
  type Version,
} from '../../core'
import {
  ACTIVE_HOSTS,
  SIGNAL,
  activeHosts,
  countBusPacket,
  hostEntryOf,
  hostKey,
  storedHost,
  type HostEntry,
} from '../active-hosts'
import type { ExternalRules } from '../module'
import type { Recorder } from '../recorder'
import type { ServiceNames } from '../service-names'

const HOST = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const PREFIX = /^_[a-z][a-z0-9_-]{0,62}$/
export const TYPE = /^[a-z][a-z0-9_-]{0,62}$/
const PUBLIC = /^[\x21-\x7e]{1,512}$/
const MAX_LAYERS = 16
/** How many hosts there may be, of nodes and of all services: each call looks at them. */
const MAX_HOSTS = 1_000

export const Registration = z.object({
  prefix: z
    .string()
    .regex(PREFIX, 'is not `_` and a lower case word')
    .describe('`_turn`: calls below it are sent here'),
  type: z
    .string()
    .regex(TYPE, 'is not a lower case word')
    .describe('what `_host?type=` asks for; default: the prefix without `_`')
    .optional(),
  url: z.string().max(1024).describe('where calls are sent: http or https, an origin, perhaps with a path'),
  public: z
    .string()
    .regex(PUBLIC, 'is not printable ASCII')
    .describe('what `_host?type=` answers')
    .optional(),
  layers: z.array(z.string()).max(MAX_LAYERS).describe('`*turn`, `*turn:…`, `*stats:turn:…`').optional(),
  load: z.number().min(0).max(1).describe('0 idle, 1 full; default 0').optional(),
  node: z.string().regex(HOST, 'is not a name').describe('the node that it stands beside').optional(),
  lapse: z
    .number()
    .min(1)
    .max(300)
    .describe('seconds without a refresh after which it is gone; default 15')
    .optional(),
})
export type Registration = z.output<typeof Registration>

const DEFAULT_LAPSE = 15

export interface Registered extends HostEntry {
  readonly version: Version
  /** What calls to it are signed with. */
  readonly key: string
}

export interface HostsOptions {
  readonly engine: Engine
  readonly external: ExternalRules
  readonly names: ServiceNames
  readonly stats: Recorder
}

/** The hosts of external services: what they say of themselves, checked. */
export class Hosts {
  constructor(private readonly options: HostsOptions) {}

  /**
   * Registers a host, or refreshes it.
   * @throws bad_request with the parameter; service_exists for a prefix of another service, forbidden for one, or for a
   *   type, that the caller's token is not for
   */
  async register(name: string, asked: Registration, principal: Principal): Promise<Registered> {
    const { engine, external, names, stats } = this.options
    const { prefix, type = prefix.slice(1), lapse = DEFAULT_LAPSE } = asked
    const key = externalKey(name, prefix, principal)
    checkType(type, principal)
    if (external.isOwn(prefix) || type === SIGNAL)
      throw new Kv4Error('service_exists', { fields: { reason: `${prefix} is a service of the platform` } })
    const layers = (asked.layers ?? []).map((layer) => ownLayer(layer, prefix))
    const url = await this.#url(asked.url)
    const bucket = engine.bucket(BucketName.system)
    const address = { ...ACTIVE_HOSTS, key }
    if ((await bucket.get(address)) === undefined && (await activeHosts(engine)).length >= MAX_HOSTS)
      throw new Kv4Error('limit_reached', { fields: { reason: `${MAX_HOSTS} hosts are registered` } })
    await names.claim(prefix, type)

    const version = await bucket.modify(
      address,
      (current) =>
        storedHost({
          type,
          url,
          ...(asked.public !== undefined && { public: asked.public }),
          ...(asked.node !== undefined && { node: asked.node }),
          load: asked.load ?? 0,
          prefix,
          layers,
          // As long as it does not lapse its key stays the same.
          salt: saltOf(current?.v) ?? randomBytes(16).toString('base64url'),
        }),
      { by: principal.login, ttl: lapse * 1000 },
    )
    countBusPacket(stats, key, version.v)
    const entry = hostEntryOf(version.v)!
    return { ...entry, version, key: external.callerKey(key, entry.salt!) }
  }

  /** false: it was not there. */
  async withdraw(name: string, prefix: string, principal: Principal): Promise<boolean> {
    const { engine, names } = this.options
    const removed = await engine
      .bucket(BucketName.system)
      .remove({ ...ACTIVE_HOSTS, key: externalKey(name, prefix, principal) }, { by: principal.login })
    if (removed === undefined) return false
    const left = await activeHosts(engine, { consistent: true })
    if (!left.some((host) => host.prefix === prefix)) await names.release(prefix)
    return true
  }

  async #url(text: string): Promise<string> {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url === undefined) throw badUrl('it is none')
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw badUrl('neither http nor https')
    if (url.username !== '' || url.password !== '') throw badUrl('it contains credentials')
    if (url.search !== '' || url.hash !== '') throw badUrl('a query or a fragment')
    await this.options.external.checkUrl(url)
    return (url.origin + url.pathname).replace(/\/+$/, '')
  }
}

function badUrl(reason: string): Kv4Error {
  return new Kv4Error('bad_request', { fields: { parameter: 'url', reason } })
}

/** @throws bad_request; forbidden for a prefix that the caller's token is not for */
function externalKey(name: string, prefix: string, { token }: Principal): Key {
  if (!HOST.test(name))
    throw new Kv4Error('bad_request', { fields: { parameter: 'k', reason: 'not the name of a host' } })
  if (!PREFIX.test(prefix))
    throw new Kv4Error('bad_request', { fields: { parameter: 'prefix', reason: 'not `_` and a word' } })
  if (token !== undefined && token.prefix !== prefix)
    throw new Kv4Error('forbidden', { fields: { reason: `the token is for ${token.prefix}` } })
  const type = prefix.slice(1)
  if (type === SIGNAL)
    throw new Kv4Error('service_exists', { fields: { reason: `${prefix} is a service of the platform` } })
  return hostKey(name, type)
}

/** Or a host of one service would be named to those who ask for another. @throws forbidden */
function checkType(type: string, { token }: Principal): void {
  if (token === undefined) return
  const { prefix, type: own = prefix.slice(1) } = token
  if (type !== own) throw new Kv4Error('forbidden', { fields: { reason: `the token is for type ${own}` } })
}

/** A service has layers of its own name, and measurements of its own name. @throws bad_layer, bad_layer_prefix */
function ownLayer(text: string, prefix: string): Layer {
  const layer = Layer.parse(text)
  const own = '*' + prefix.slice(1)
  if (layer === own || layer.startsWith(own + ':') || layer.startsWith(`*stats:${prefix.slice(1)}:`))
    return layer
  throw new Kv4Error('bad_layer_prefix', {
    fields: { layer, reason: `layers of ${prefix} are ${own}, ${own}:… and *stats:${prefix.slice(1)}:…` },
  })
}

function saltOf(value: Json | undefined): string | undefined {
  return value !== undefined && isJsonObject(value) && typeof value.salt === 'string' ? value.salt : undefined
}
