import type { Bucket, Engine } from '../../core'
import type { ServiceContext } from '../module'
import { AccessTokens } from './access-tokens'
import { Configuration } from './configuration'
import { EventLog } from './event-log'
import { Events } from './events'
import { Leases } from './leases'
import { PlatformClock } from './platform-clock'
import { Pulse } from './pulse'
import { Quotas } from './quotas'
import { Services } from './services'
import { Sessions } from './sessions'
import { Sweeper } from './sweeper'
import { Tenants } from './tenants'
import { Timers } from './timers'

/** The registry of a platform: one for its services and for the mount, whose doors lead to the same. */
export class Registry {
  readonly clock = new PlatformClock()
  readonly pulse: Pulse
  readonly timers: Timers
  readonly leases: Leases
  readonly quotas: Quotas
  readonly services: Services
  readonly sessions: Sessions
  readonly configuration: Configuration
  readonly events: Events
  readonly tenants: Tenants
  readonly tokens: AccessTokens
  readonly #sweeper: Sweeper

  private constructor({ engine, node, onBackgroundError = () => undefined }: ServiceContext) {
    const log = new EventLog(this.clock)
    this.pulse = new Pulse(engine, node, this.clock)
    this.timers = new Timers(engine, onBackgroundError)
    this.leases = new Leases(log, this.clock, () => this.pulse.ready())
    this.tenants = new Tenants(engine)
    this.tokens = new AccessTokens(engine)
    const look = (bucket: Bucket) => this.#sweeper.look(bucket)
    this.quotas = new Quotas(engine, look)
    this.services = new Services(this.leases, this.timers, this.quotas)
    this.sessions = new Sessions(this.leases, this.timers, this.quotas)
    this.configuration = new Configuration(log, this.timers, this.quotas, () => this.clock.now())
    this.events = new Events(log, this.clock, look)
    this.#sweeper = new Sweeper(
      engine,
      this.clock,
      this.pulse,
      this.timers,
      this.leases,
      this.configuration,
      onBackgroundError,
    )
  }

  /** The one of an engine. */
  static of(context: ServiceContext): Registry {
    let registry = REGISTRIES.get(context.engine)
    if (registry === undefined) REGISTRIES.set(context.engine, (registry = new Registry(context)))
    return registry
  }

  async start(): Promise<void> {
    await this.pulse.start()
    await this.timers.start()
    this.#sweeper.start()
  }

  async stop(): Promise<void> {
    await this.#sweeper.stop()
    await this.timers.stop()
    await this.pulse.stop()
  }
}

const REGISTRIES = new WeakMap<Engine, Registry>()
