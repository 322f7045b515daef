import type { Engine } from '../core'
import { Path } from '../core'
import { ACCESS_RULES, METHODS } from '../services/module'
import type { Listener, Method, Route, Service } from '../services/module'

/** The routes of one path, or of all paths that no route names. */
type Methods = ReadonlyMap<Method, Route>

/** A service as it is mounted. */
export interface BoundService {
  readonly service: Service
  /** By canonical path: a path that one route names answers that path's methods only. */
  readonly named: ReadonlyMap<string, Methods>
  /** Every other path. */
  readonly others: Methods
}

/** A service list that does not fit together. The process does not start. */
export class BindingError extends Error {
  constructor(problem: string) {
    super(problem)
    this.name = 'BindingError'
  }
}

/** All services, mounted. */
export interface Bindings {
  readonly byPrefix: ReadonlyMap<string, BoundService>
  /** In the order of the list; when one fails, those that have started are stopped again. */
  start(): Promise<void>
  /** Tells those that have started that calls can arrive now. */
  announce(listener: Listener): Promise<void>
  /** Tells them that soon no more calls arrive; all are told, then the first error is thrown. */
  retire(): Promise<void>
  /** In the reverse order; all are stopped, then the first error is thrown. */
  stop(): Promise<void>
}

/**
 * Mounts a list of services: checks it as a whole, declares the layers.
 * @throws BindingError for a bad or duplicate prefix or name, a duplicate (method, path), a route without a known
 *   access rule or method, a layer that two services declare
 */
export function bind(services: readonly Service[], engine: Pick<Engine, 'layers'>): Bindings {
  const byPrefix = new Map<string, BoundService>()
  const layers = new Map<string, string>()
  const names = new Set<string>()

  for (const service of services) {
    if (!/^[a-z][a-z0-9_-]{0,62}$/.test(service.name))
      throw new BindingError(`service name ${JSON.stringify(service.name)} is not a lower case word`)
    if (service.prefix !== '_' + service.name)
      throw new BindingError(`service ${service.name}: the prefix ${service.prefix} is not _${service.name}`)
    if (names.has(service.name) || byPrefix.has(service.prefix))
      throw new BindingError(`two services want the prefix ${service.prefix}`)
    names.add(service.name)
    byPrefix.set(service.prefix, bindRoutes(service))
    for (const { name } of service.layers) {
      const owner = layers.get(name)
      if (owner !== undefined)
        throw new BindingError(`layer ${name} is declared by ${owner} and by ${service.name}`)
      layers.set(name, service.name)
    }
  }
  for (const service of services) for (const layer of service.layers) engine.layers.declare(layer)

  const started: Service[] = []
  async function tellAll(
    services: readonly Service[],
    tell: (service: Service) => Promise<void> | undefined,
  ): Promise<void> {
    const errors: unknown[] = []
    for (const service of services) {
      try {
        await tell(service)
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
  }
  const stop = () => tellAll(started.splice(0).reverse(), (service) => service.stop?.())
  return {
    byPrefix,
    stop,
    announce: (listener) => tellAll(started, (service) => service.announce?.(listener)),
    retire: () => tellAll(started, (service) => service.retire?.()),
    async start() {
      for (const service of services) {
        try {
          await service.start?.()
        } catch (error) {
          await stop()
          throw error
        }
        started.push(service)
      }
    },
  }
}

function bindRoutes(service: Service): BoundService {
  const named = new Map<string, Map<Method, Route>>()
  const others = new Map<Method, Route>()
  if (service.routes.length === 0) throw new BindingError(`service ${service.name} has no routes`)
  for (const route of service.routes) {
    const title = `${String(route.method)} ${service.prefix}${route.at ?? '/…'}`
    // The types say so already; a plugin may have been written without them.
    if (!METHODS.includes(route.method)) throw new BindingError(`${title}: unknown method`)
    if (!ACCESS_RULES.includes(route.access))
      throw new BindingError(
        `${title}: the route has no access rule, or an unknown one (${String(route.access)})`,
      )
    let methods = others
    if (route.at !== undefined) {
      if (Path.parse(route.at) !== route.at) throw new BindingError(`${title}: write ${Path.parse(route.at)}`)
      methods = named.get(route.at) ?? new Map<Method, Route>()
      named.set(route.at, methods)
    }
    if (methods.has(route.method)) throw new BindingError(`${title}: two routes answer this`)
    methods.set(route.method, route)
  }
  return { service, named, others }
}

/** The routes that answer a path of the service. */
export function methodsAt(bound: BoundService, path: Path): Methods {
  return bound.named.size === 0 ? bound.others : (bound.named.get(path) ?? bound.others)
}
