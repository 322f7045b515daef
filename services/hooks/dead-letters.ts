import { BucketName, addressIn } from '../../core'
import type { Bucket, Key, Place } from '../../core'
import { HOOK_LAYERS, statePath } from '../hook'
import { Letters } from './letters'
import type { Letter } from './letters'

/** Of one hook; older ones go. */
export const MAX_DEAD = 1_000
const { account: BY } = BucketName.owner(BucketName.system)

/** The events of a hook that were given up, the oldest first. */
export class DeadLetters {
  readonly #place: Place
  readonly #letters: Letters
  #keys: Key[] = []

  constructor(
    private readonly bucket: Bucket,
    hook: string,
  ) {
    this.#place = { layer: HOOK_LAYERS.dead, path: statePath(hook) }
    this.#letters = new Letters(bucket, HOOK_LAYERS.dead, hook)
  }

  async load(): Promise<void> {
    const { items } = await this.bucket.keys(this.#place, { consistent: true, limit: 2 * MAX_DEAD })
    this.#keys = [...items]
    this.#letters.startBehind(items.at(-1))
  }

  /** How many older ones had to go. */
  async add(letter: Letter): Promise<number> {
    const { key } = await this.#letters.put(letter)
    this.#keys.push(key)
    let dropped = 0
    while (this.#keys.length > MAX_DEAD) {
      const oldest = this.#keys.shift()!
      if ((await this.bucket.remove(addressIn(this.#place, oldest), { by: BY })) !== undefined) dropped++
    }
    return dropped
  }

  /** Those that are asked for and there, one after another; absent: all. */
  async *take(ids?: readonly string[]): AsyncGenerator<{ readonly key: Key; readonly letter: Letter }> {
    for (const key of [...this.#keys]) {
      const letter = await this.#letters.get(key)
      if (letter !== undefined && (ids === undefined || ids.includes(letter.id))) yield { key, letter }
    }
  }

  async remove(key: Key): Promise<void> {
    await this.#letters.remove(key)
    this.#keys = this.#keys.filter((one) => one !== key)
  }
}
