import type { Principal } from '../auth'
import { Path } from '../core'
import type { Recorder } from '../services/recorder'

const MEASUREMENT = 'api:3'

/**
 * Counts calls: measurement `api:3`, entity `/<service>/<METHOD>`, key the login, in the bucket that it acts in. A call
 * counts once its caller is known, whatever becomes of it; of a failed login nobody knows who it was, and what a ban
 * keeps out is not a call.
 */
export class CallCount {
  readonly #entities = new Map<string, Map<string, Path>>()

  constructor(private readonly stats: Recorder) {}

  /** @param service its name, without an underscore; of the few that there are */
  add({ bucket, login }: Pick<Principal, 'bucket' | 'login'>, service: string, method: string): void {
    let entities = this.#entities.get(service)
    if (entities === undefined) this.#entities.set(service, (entities = new Map<string, Path>()))
    let entity = entities.get(method)
    if (entity === undefined) entities.set(method, (entity = Path.parse(`/${service}/${method}`)))
    this.stats.record(bucket, entity, MEASUREMENT, login, 1)
  }
}
