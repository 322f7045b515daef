import {
  BucketName,
  Key,
  Kv4Error,
  Layer,
  Path,
  isJsonObject,
  type Bucket,
  type Engine,
  type Entry,
  addressIn,
} from '../core'

/** Longer than any outage: after it a service whose hosts are all gone was never there. */
const REMEMBERED_MS = 24 * 3600_000
const RENEWED_EVERY_MS = 3600_000
const MOST = 10_000

const { account: BY } = BucketName.owner(BucketName.system)
const PLACE = { layer: Layer.parse('*host'), path: Path.parse('/runtime/services/known') } as const

/**
 * Which external services there are, one entry for each prefix: what makes a service whose hosts are all away another
 * thing than one that nobody knows, and keeps two services from taking one prefix.
 */
export class ServiceNames {
  readonly #bucket: Bucket

  constructor(engine: Engine) {
    this.#bucket = engine.bucket(BucketName.system)
  }

  /** @throws service_exists when a service of another type has the prefix */
  async claim(prefix: string, type: string): Promise<void> {
    const address = addressIn(PLACE, Key.parse(prefix))
    const known = await this.#bucket.get(address)
    if (typeOf(known?.v) === type && known!.exp! - Date.now() > REMEMBERED_MS - RENEWED_EVERY_MS) return
    await this.#bucket.modify(
      address,
      (current) => {
        const taken = typeOf(current?.v)
        if (taken !== undefined && taken !== type)
          throw new Kv4Error('service_exists', {
            fields: { reason: `a service of type ${taken} has the prefix ${prefix}` },
          })
        return { type }
      },
      { by: BY, ttl: REMEMBERED_MS },
    )
  }

  /** Its last host has left. */
  async release(prefix: string): Promise<void> {
    await this.#bucket.remove(addressIn(PLACE, Key.parse(prefix)), { by: BY })
  }

  async has(prefix: string): Promise<boolean> {
    return (await this.#known()).some(({ key }) => key === prefix)
  }

  async hasType(type: string): Promise<boolean> {
    return (await this.#known()).some(({ version }) => typeOf(version.v) === type)
  }

  // The listing is in the cache, whatever strangers ask for; what is not there would be looked for one by one.
  async #known(): Promise<readonly Entry[]> {
    return (await this.#bucket.entries(PLACE, { limit: MOST })).items
  }
}

function typeOf(value: unknown): string | undefined {
  return isJsonObject(value as never) ? ((value as { type?: unknown }).type as string | undefined) : undefined
}
