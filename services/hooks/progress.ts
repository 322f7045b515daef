import { BucketName, Key, Path, isKv4Error } from '../../core'
import type { Address, Bucket, Json, Version } from '../../core'
import { HOOK_LAYERS } from '../hook'
import type { Hook, HookTry } from '../hook'
import type { Reached } from './window'

const { account: BY } = BucketName.owner(BucketName.system)

/** How far a hook is, and what became of it so far. */
export interface StoredProgress extends Reached {
  /** The life of the node that delivers. */
  readonly epoch: string
  readonly last?: HookTry
  readonly lastHit?: number
  readonly delivered: number
  readonly dropped: number
  /** The last interval that was sent once more. */
  readonly replayed?: {
    readonly from: number
    readonly to: number
    readonly sent: number
    readonly at: number
  }
}

/** Another node delivers: whoever is told stops at once. */
export class Fenced extends Error {
  constructor() {
    super('another node delivers this hook')
    this.name = 'Fenced'
  }
}

export function progressAddress(id: string): Address {
  return { layer: HOOK_LAYERS.progress, path: Path.root, key: Key.parse(id) }
}

/** What is stored of a hook; of one that has told nothing yet, its beginning. */
export function progressOf({ since, created }: Hook, version: Version | undefined): StoredProgress {
  return version === undefined
    ? { epoch: '', cursor: since, done: [], at: created, delivered: 0, dropped: 0 }
    : (version.v as unknown as StoredProgress)
}

/**
 * The progress of a hook as the one node that delivers writes it: each write replaces the one before and no other, so
 * that a node that was out for a while learns that it is not the one any more.
 */
export class Progress {
  #n: number | undefined

  private constructor(
    private readonly bucket: Bucket,
    private readonly id: string,
    private readonly epoch: string,
    readonly stored: StoredProgress,
  ) {}

  /** From now on nobody else who has taken it can write. */
  static async take(bucket: Bucket, hook: Hook, epoch: string): Promise<Progress> {
    for (;;) {
      const version = await bucket.get(progressAddress(hook.id), { consistent: true })
      const progress = new Progress(bucket, hook.id, epoch, progressOf(hook, version))
      progress.#n = version?.n
      try {
        await progress.#put(progress.stored)
        return progress
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
      }
    }
  }

  /** @throws Fenced */
  async write(stored: Omit<StoredProgress, 'epoch'>): Promise<void> {
    for (;;) {
      try {
        return await this.#put(stored)
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
        // A write without an answer may have been ours.
        const version = await this.bucket.get(progressAddress(this.id), { consistent: true })
        if ((version?.v as unknown as StoredProgress | undefined)?.epoch !== this.epoch) throw new Fenced()
        this.#n = version!.n
      }
    }
  }

  async #put(stored: Omit<StoredProgress, 'epoch'>): Promise<void> {
    const value = { ...stored, epoch: this.epoch } as unknown as Json
    const { n } = await this.bucket.put(progressAddress(this.id), value, {
      by: BY,
      expect: this.#n === undefined ? 'absent' : { n: this.#n },
    })
    this.#n = n
  }
}
