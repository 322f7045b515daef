import type { Engine } from '../../core'
import type { ServiceContext } from '../module'
import { Lives } from './lives'
import { SchemaDirectory } from './schema/schema-directory'
import { Schemas } from './schema/schemas'
import { Sessions } from './sessions'

/** What the native API and the mount share: one for each engine. */
export class SessionStore {
  readonly lives: Lives
  readonly schemas: Schemas
  readonly sessions: Sessions
  readonly #directory: SchemaDirectory | undefined

  private constructor({ schemasDir, onBackgroundError = () => undefined }: ServiceContext) {
    this.#directory =
      schemasDir === undefined ? undefined : new SchemaDirectory(schemasDir, onBackgroundError)
    this.lives = new Lives(onBackgroundError)
    this.schemas = new Schemas(this.#directory)
    this.sessions = new Sessions(this.lives, (...asked) => this.schemas.check(...asked))
  }

  static of(context: ServiceContext): SessionStore {
    let store = STORES.get(context.engine)
    if (store === undefined) STORES.set(context.engine, (store = new SessionStore(context)))
    return store
  }

  async start(): Promise<void> {
    await this.#directory?.start()
  }

  async stop(): Promise<void> {
    await this.#directory?.stop()
    await this.lives.settled()
  }
}

const STORES = new WeakMap<Engine, SessionStore>()
