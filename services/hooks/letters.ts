import { BucketName, Key, isKv4Error, addressIn } from '../../core'
import type { Address, Bucket, Json, Layer, Place } from '../../core'
import { statePath } from '../hook'
import type { HookMessage, HookTry } from '../hook'

const { account: BY } = BucketName.owner(BucketName.system)
const PAGE = 200

/** An event of a hook that is kept because it could not be delivered at once. */
export interface Letter {
  /** `webhook-id` */
  readonly id: string
  /** What keeps its order: the address that has changed, as one string. */
  readonly line: string
  readonly message: HookMessage
  /** That were made. */
  readonly tries: number
  /** Unix ms before which it is not tried again; of a dead one absent. */
  readonly next?: number
  /** Unix ms at which it was written. */
  readonly at: number
  readonly last?: HookTry
}

/** A letter's outline, which is small enough to be in memory. */
export interface Outline {
  readonly key: Key
  readonly id: string
  readonly line: string
  tries: number
  next: number
}

const DIGITS = 12

/**
 * Letters of one hook in the order in which they were put, in a layer of kind current at the hook's path. The key is a
 * number that grows and the id, so that two nodes that both believe to be the one that delivers overwrite nothing.
 */
export class Letters {
  readonly #place: Place
  #next = 1

  constructor(
    private readonly bucket: Bucket,
    layer: Layer,
    hook: string,
  ) {
    this.#place = { layer, path: statePath(hook) }
  }

  /** In order. To be called before anything is put. */
  async *load(): AsyncGenerator<Outline> {
    for await (const [key, letter] of this.#all()) {
      this.startBehind(key)
      const { id, line, tries, next = 0 } = letter
      yield { key, id, line, tries, next }
    }
  }

  /** What is put from now on comes after this key. */
  startBehind(key: Key | undefined): void {
    if (key !== undefined) this.#next = Math.max(this.#next, Number(key.slice(0, DIGITS)) + 1)
  }

  async put(letter: Letter): Promise<Outline> {
    const key = Key.parse(`${String(this.#next++).padStart(DIGITS, '0')}-${letter.id}`)
    await this.bucket.put(this.#address(key), letter as unknown as Json, { by: BY })
    const { id, line, tries, next = 0 } = letter
    return { key, id, line, tries, next }
  }

  async get(key: Key): Promise<Letter | undefined> {
    return (await this.bucket.get(this.#address(key)))?.v as unknown as Letter | undefined
  }

  /** Only of one that is there: another node may have taken it away. */
  async update(key: Key, letter: Letter): Promise<void> {
    try {
      await this.bucket.put(this.#address(key), letter as unknown as Json, { by: BY, expect: 'present' })
    } catch (error) {
      if (!isKv4Error(error, 'version_conflict')) throw error
    }
  }

  async remove(key: Key): Promise<void> {
    await this.bucket.remove(this.#address(key), { by: BY })
  }

  async clear(): Promise<void> {
    await this.bucket.removeUnder(this.#place.layer, this.#place.path, { by: BY, depth: 0 })
  }

  #address(key: Key): Address {
    return addressIn(this.#place, key)
  }

  async *#all(): AsyncGenerator<readonly [Key, Letter]> {
    let after: Key | undefined
    do {
      const page = await this.bucket.entries(this.#place, {
        consistent: true,
        limit: PAGE,
        ...(after !== undefined && { after }),
      })
      for (const { key, version } of page.items) yield [key, version.v as unknown as Letter]
      after = page.next
    } while (after !== undefined)
  }
}
