import { randomBytes } from 'node:crypto'
import { Key, Kv4Error, Path, isKv4Error, addressIn } from '../core'
import type { Address, Bucket, BucketName, Engine, Json, Layer, Place, Version } from '../core'
import { HOOK_LAYERS, statePath } from './hook'
import type { Hook, HookAddress, HookFormat, HookStatus, HookTry, StoredHook, WantedHook } from './hook'
import { noteHooked } from './hooked-buckets'
import type { ServiceContext } from './module'

/** Hooks of an account itself; each of its services may have ten times as many. */
export const MAX_HOOKS = 100
const MAX_OF_SERVICE = 10 * MAX_HOOKS
const MAX_ENDPOINT = 2_000
const PAGE = 1_000
/** After a rotation the secret before signs too, for so long. */
const OVERLAP_MS = 24 * 3600_000

/**
 * The hooks of accounts, and of services in their name: one book for all of a platform, in which `_hooks` and any other
 * service write; what is in it is delivered by `_hooks`.
 */
export class HookBook {
  readonly #formats = new Map<string, HookFormat>()

  private constructor(private readonly context: Pick<ServiceContext, 'engine' | 'webhooks'>) {}

  /** The one of an engine. */
  static of(context: Pick<ServiceContext, 'engine' | 'webhooks'>): HookBook {
    let book = BOOKS.get(context.engine)
    if (book === undefined) BOOKS.set(context.engine, (book = new HookBook(context)))
    return book
  }

  /** To be done when a service is made, before anything is delivered; again with the same value is nothing. */
  declare(format: HookFormat): void {
    if ((this.#formats.get(format.name) ?? format) !== format)
      throw new Error(`the hook format ${format.name} is declared twice`)
    this.#formats.set(format.name, format)
  }

  format(name: string): HookFormat | undefined {
    return this.#formats.get(name)
  }

  /**
   * Registers a hook, which is told of everything from now on, or changes the one that is there: it goes on from where
   * it is. Another endpoint enables it again.
   * @param options `expect`: as of a write of the engine; whatever it was, a hook that is changed keeps what it has told
   * @throws bad_request (endpoint), limit_reached, version_conflict
   */
  async put(
    bucket: Bucket,
    address: HookAddress,
    wanted: WantedHook,
    { by, expect }: { readonly by: string; readonly expect?: 'absent' | 'present' | { readonly n: number } },
  ): Promise<{ readonly stored: StoredHook; readonly created: boolean }> {
    await this.#checkEndpoint(wanted.endpoint)
    const at = hookPlace(address)
    for (;;) {
      const version = await bucket.get(at, { consistent: true })
      if (
        expect !== undefined &&
        (expect === 'absent'
          ? version !== undefined
          : version === undefined || (typeof expect === 'object' && expect.n !== version.n))
      )
        throw new Kv4Error('version_conflict')
      try {
        const hook =
          version === undefined
            ? await this.#fresh(bucket, address, wanted)
            : changed(version.v as unknown as Hook, wanted)
        const written = await bucket.put(at, hook as unknown as Json, {
          by,
          expect: version === undefined ? 'absent' : { n: version.n },
        })
        return { stored: { address, hook, version: written }, created: version === undefined }
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
      }
    }
  }

  async get(
    bucket: Bucket,
    address: HookAddress,
    options: { readonly consistent?: boolean } = {},
  ): Promise<StoredHook | undefined> {
    const version = await bucket.get(hookPlace(address), options)
    return version && { address, hook: version.v as unknown as Hook, version }
  }

  /**
   * Those at a path (depth 0, the default), and up to `depth` segments below it, in the order of paths and names. All of
   * them: there are at most 100, of a service 1,000.
   */
  async list(
    bucket: Bucket,
    of: { readonly service?: string; readonly path?: Path; readonly depth?: number } = {},
    options: { readonly consistent?: boolean } = {},
  ): Promise<readonly StoredHook[]> {
    const { service, path = Path.root, depth = 0 } = of
    const place = placeOf({ ...(service !== undefined && { service }), path })
    const found: StoredHook[] = []
    for await (const { at, entries } of places(bucket, place, depth, options))
      for (const { key, version } of entries)
        found.push({ address: addressOf(service, at, key), hook: version.v as unknown as Hook, version })
    return found
  }

  /** Every hook of a bucket, of the account and of all services. */
  async all(bucket: Bucket): Promise<readonly StoredHook[]> {
    const options = { consistent: true }
    const found: StoredHook[] = []
    for (const layer of [HOOK_LAYERS.own, HOOK_LAYERS.ofServices])
      for await (const { at, entries } of places(bucket, { layer, path: Path.root }, undefined, options))
        for (const { key, version } of entries)
          found.push({ address: hookAddress(layer, at, key), hook: version.v as unknown as Hook, version })
    return found
  }

  /** Nothing more is sent, and what waited is forgotten. false: there was none. */
  async remove(bucket: Bucket, address: HookAddress, options: { readonly by: string }): Promise<boolean> {
    return (await bucket.remove(hookPlace(address), options)) !== undefined
  }

  /** A 410 disables a hook; this ends it, and what has happened meanwhile is sent. @throws not_found */
  async enable(bucket: Bucket, address: HookAddress, options: { readonly by: string }): Promise<StoredHook> {
    return this.change(bucket, address, options, ({ disabled: _, ...hook }) => hook)
  }

  /** What is to be sent waits until it is enabled again. One that was removed meanwhile is left alone. */
  async disable(
    bucket: Bucket,
    { address, hook: { id } }: Pick<StoredHook, 'address' | 'hook'>,
    reason: string,
    options: { readonly by: string },
  ): Promise<void> {
    try {
      await this.change(bucket, address, options, (hook) => {
        if (hook.id !== id) throw new Kv4Error('not_found')
        return { ...hook, disabled: { at: Date.now(), reason } }
      })
    } catch (error) {
      if (!isKv4Error(error, 'not_found')) throw error
    }
  }

  /** A new secret; the one before signs too for a day. @throws not_found */
  async rotate(bucket: Bucket, address: HookAddress, options: { readonly by: string }): Promise<StoredHook> {
    const [now, salt] = [Date.now(), newSalt()]
    return this.change(bucket, address, options, (hook) => ({
      ...hook,
      salts: [{ salt }, { salt: hook.salts[0]!.salt, until: now + OVERLAP_MS }],
    }))
  }

  /** `whsec_…`, the newest first: what signs now. */
  secrets(bucket: BucketName, { id, salts }: Pick<Hook, 'id' | 'salts'>): readonly string[] {
    return salts
      .filter(({ until }) => until === undefined || until > Date.now())
      .map(
        ({ salt }) => `whsec_${this.context.webhooks.secret(`${bucket} ${id} ${salt}`).toString('base64')}`,
      )
  }

  /** What became of what was to be sent. Written about twice a second at most. */
  async status(bucket: Bucket, { id }: Pick<Hook, 'id'>): Promise<HookStatus> {
    const [progress, aside, dead] = await Promise.all([
      bucket.get({ layer: HOOK_LAYERS.progress, path: Path.root, key: Key.parse(id) }),
      bucket.entries({ layer: HOOK_LAYERS.aside, path: statePath(id) }, { limit: PAGE }),
      bucket.keys({ layer: HOOK_LAYERS.dead, path: statePath(id) }, { limit: PAGE }),
    ])
    const { last, lastHit, delivered = 0, dropped = 0 } = (progress?.v ?? {}) as unknown as StoredStatus
    const waits = aside.items
      .map(({ version }) => (version.v as { readonly next?: number }).next)
      .filter((next) => next !== undefined)
    return {
      ...(last !== undefined && { last }),
      ...(lastHit !== undefined && { lastHit }),
      ...(waits.length > 0 && { next: Math.min(...waits) }),
      delivered,
      aside: aside.items.length,
      dead: dead.items.length,
      dropped,
    }
  }

  /** Another version of a hook that is there. @throws not_found; what `make` throws */
  async change(
    bucket: Bucket,
    address: HookAddress,
    { by }: { readonly by: string },
    make: (hook: Hook) => Hook,
  ): Promise<StoredHook> {
    const at = hookPlace(address)
    const version = await bucket.modify(
      at,
      (current) => {
        if (current === undefined) throw new Kv4Error('not_found')
        return make(current.v as unknown as Hook) as unknown as Json
      },
      { by },
    )
    return { address, hook: version.v as unknown as Hook, version }
  }

  /** @throws bad_request */
  async #checkEndpoint(text: string): Promise<void> {
    const refuse = (reason: string) =>
      new Kv4Error('bad_request', { fields: { parameter: 'endpoint', reason } })
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (url === undefined || !['http:', 'https:'].includes(url.protocol))
      throw refuse('is not an http or https URL')
    if (text.length > MAX_ENDPOINT) throw refuse(`is longer than ${MAX_ENDPOINT} characters`)
    if (url.username !== '' || url.password !== '') throw refuse('holds a user or a password')
    if (url.hash !== '') throw refuse('holds a fragment')
    await this.context.webhooks.check(url)
  }

  /** @throws limit_reached */
  async #fresh(bucket: Bucket, address: HookAddress, wanted: WantedHook): Promise<Hook> {
    const most = address.service === undefined ? MAX_HOOKS : MAX_OF_SERVICE
    if ((await this.#count(bucket, address.service)) >= most)
      throw new Kv4Error('limit_reached', { fields: { reason: `at most ${most} hooks` } })
    await noteHooked(this.context.engine, bucket.name)
    return {
      ...wanted,
      id: 'hook_' + randomBytes(12).toString('base64url'),
      created: Date.now(),
      since: await bucket.cursor(),
      salts: [{ salt: newSalt() }],
    }
  }

  async #count(bucket: Bucket, service: string | undefined): Promise<number> {
    const place = placeOf({ ...(service !== undefined && { service }), path: Path.root })
    let count = 0
    for await (const { entries } of places(bucket, place, undefined, {})) count += entries.length
    return count
  }
}

const BOOKS = new WeakMap<Engine, HookBook>()

interface StoredStatus {
  readonly last?: HookTry
  readonly lastHit?: number
  readonly delivered?: number
  readonly dropped?: number
}

function newSalt(): string {
  return randomBytes(12).toString('base64url')
}

function changed({ id, since, created, salts, disabled, endpoint }: Hook, wanted: WantedHook): Hook {
  return {
    ...wanted,
    id,
    since,
    created,
    salts,
    ...(disabled !== undefined && endpoint === wanted.endpoint && { disabled }),
  }
}

/** Where a hook is stored. */
export function hookPlace(address: HookAddress): Address {
  return addressIn(placeOf(address), address.name)
}

function placeOf({ service, path }: Pick<HookAddress, 'service' | 'path'>): Place {
  return service === undefined
    ? { layer: HOOK_LAYERS.own, path }
    : { layer: HOOK_LAYERS.ofServices, path: Path.parse(service + path) }
}

/** Back from where it is stored. */
export function hookAddress(layer: Layer, at: Path, name: Key): HookAddress {
  return addressOf(layer === HOOK_LAYERS.own ? undefined : Path.segments(at)[0]!, at, name)
}

function addressOf(service: string | undefined, at: Path, name: Key): HookAddress {
  return service === undefined
    ? { path: at, name }
    : { service, path: Path.parse(Path.segments(at).slice(1).join('/')), name }
}

async function* places(
  bucket: Bucket,
  { layer, path }: Place,
  depth: number | undefined,
  options: { readonly consistent?: boolean },
): AsyncGenerator<{ readonly at: Path; readonly entries: readonly { key: Key; version: Version }[] }> {
  let after: Path | undefined
  do {
    const page = await bucket.paths(layer, path, depth, {
      ...options,
      limit: PAGE,
      ...(after !== undefined && { after }),
    })
    for (const at of page.items)
      yield { at, entries: (await bucket.entries({ layer, path: at }, { ...options, limit: PAGE })).items }
    after = page.next
  } while (after !== undefined)
}
