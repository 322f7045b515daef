import type { BanEnds, Bans } from '../auth'
import { Kv4Error, Path } from '../core'
import type { Engine } from '../core'
import type { EventSource, ServiceRequest } from '../services/module'
import { WatchQuery } from '../services/watch'
import type { DoorWatcher, WatchDoor } from '../services/watch-door'
import type { Watching } from '../services/watching'
import { methodsAt } from './binder'
import type { Bindings } from './binder'
import { parseInput } from './input'
import { parseRequestTarget } from './request-target'

export interface ServiceWatchesOptions {
  readonly bindings: () => Bindings
  readonly engine: Engine
  readonly watching: Watching
  readonly bans: Pick<Bans, 'check'>
  readonly banEnds: BanEnds
}

/** What the routes of all services let be watched, without an HTTP request. */
export class ServiceWatches implements WatchDoor {
  constructor(private readonly options: ServiceWatchesOptions) {}

  async open(watcher: DoorWatcher, target: string, since?: string): Promise<EventSource> {
    const { bindings, engine, watching, bans } = this.options
    const { principal, address, within, prefixes } = watcher
    const { prefix, path, query } = parseRequestTarget(target)
    if (!prefixes.includes(prefix) || (within !== undefined && !Path.contains(within, path)))
      throw new Kv4Error('forbidden', { fields: { reason: 'the token does not let this be watched' } })
    const bound = bindings().byPrefix.get(prefix)
    const route = bound && methodsAt(bound, path).get('GET')
    if (route?.watch === undefined)
      throw new Kv4Error('bad_request', { fields: { parameter: 'target', reason: 'this cannot be watched' } })
    // What needs more than an account is not for what stands in for one.
    if (route.access !== 'account') throw new Kv4Error('forbidden')
    const signal = this.#untilBanned(watcher, path)
    await bans.check(principal.bucket, path, address)
    const request: ServiceRequest<unknown, undefined> = {
      method: 'GET',
      path,
      query: parseInput(route.input?.query, query, 'query'),
      body: undefined,
      principal,
      bucket: engine.bucket(principal.bucket),
      remoteAddress: address,
      wantsEvents: false,
      signal,
      // A socket's watches end with it.
      closing: signal,
      watches: () => undefined,
    }
    const { wait: _, ...wanted } = parseInput(WatchQuery, query, 'query') as WatchQuery
    return watching.stream(request, await route.watch(request), {
      ...wanted,
      ...(since !== undefined && { since }),
    })
  }

  /** The watcher's signal, or the ban that ends it sooner, whose error is the reason. */
  #untilBanned({ principal, address, signal }: DoorWatcher, path: Path): AbortSignal {
    const controller = new AbortController()
    const ban = this.options.banEnds.hold(principal.bucket, path, address, () =>
      controller.abort(new Kv4Error('forbidden', { fields: { reason: 'the address is denied here' } })),
    )
    const both = AbortSignal.any([signal, controller.signal])
    if (signal.aborted) ban.release()
    else signal.addEventListener('abort', () => ban.release(), { once: true })
    return both
  }
}
