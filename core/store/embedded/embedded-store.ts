import { closeSync, fsyncSync, openSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { Kv4Error } from '../../errors'
import type { BucketName } from '../../kv4/bucket-name'
import type { BucketStore, Store, StoreFeatures } from '../store'
import { BucketState } from './bucket-state'
import { Collector } from './collector'
import { Committer } from './committer'
import { DataDirectoryError } from './data-directory-error'
import { DirectoryLock } from './directory-lock'
import { EmbeddedBucket } from './embedded-bucket'
import { Environment } from './environment'
import { LoggedEnvironment } from './logged-environment'
import type { LogPace } from './logged-environment'
import { StoreKey, behind } from './layout'
import { decodeBucketNumber, encodeBucketNumber } from './records'

export interface EmbeddedOptions {
  /** Made when it is not there. */
  readonly directory: string
  /**
   * The disk failed. The process is to log and to exit at once: what was not acknowledged is unknown until the data
   * is opened again, and every call from now on fails with store_unavailable.
   */
  readonly onFatal: (error: Error) => void
  /** How often an idle live feed says that it is alive, ms. Default 4,000. */
  readonly heartbeatMs?: number
  /** What is not on disk after so long is taken for failed, ms. Default 120,000. */
  readonly stallMs?: number
  readonly logPace?: LogPace
}

/** Of the layout; a data directory with a higher one is refused. */
export const FORMAT_VERSION = 2
// Of a transaction that only touches the list of buckets.
const SMALL = 1024
// Names read at once by `list`.
const NAMES = 500

/**
 * Opens, or makes, the store in a data directory.
 * @throws DataDirectoryError
 */
export async function openEmbeddedStore(options: EmbeddedOptions): Promise<EmbeddedStore> {
  const lock = await DirectoryLock.take(options.directory)
  let opened: Environment | LoggedEnvironment | undefined
  let store: EmbeddedStore | undefined
  try {
    const environment = (opened = new Environment(options.directory))
    const unmarked = isToBeMarked(environment, options.directory)
    const logged = (opened = await LoggedEnvironment.open(environment, options.directory, {
      onFailure: (error) => store!.fail(error),
      stallMs: options.stallMs ?? 120_000,
      ...(options.logPace === undefined ? {} : { pace: options.logPace }),
    }))
    if (unmarked) await environment.write([[StoreKey.format, Buffer.from(String(FORMAT_VERSION))]])
    // The data is on disk; so must be the names that lead to it.
    for (const named of [options.directory, dirname(resolve(options.directory))]) syncDirectory(named)
    return (store = new EmbeddedStore(logged, lock, options))
  } catch (error) {
    await opened?.close()
    await lock.release()
    throw error
  }
}

function syncDirectory(directory: string): void {
  // Windows neither opens a directory nor needs it.
  if (process.platform === 'win32') return
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

/** Whether the format has still to be written: the data are new, or of format 1, which had no log. */
function isToBeMarked(environment: Environment, directory: string): boolean {
  const found = environment.get(StoreKey.format)
  if (found === undefined) {
    const first = environment.firstKeyFrom(Buffer.from([0]))
    if (first !== undefined)
      throw new DataDirectoryError('data_dir_unreadable', directory, 'it holds records but no format version')
    return true
  }
  const format = Number(found.toString())
  if (!Number.isSafeInteger(format))
    throw new DataDirectoryError('data_dir_unreadable', directory, 'its format version is no number')
  if (format > FORMAT_VERSION)
    throw new DataDirectoryError(
      'data_dir_newer',
      directory,
      `format ${format}; this version reads up to ${FORMAT_VERSION}`,
    )
  return format < FORMAT_VERSION
}

/** All buckets in one LMDB file behind a log; see layout.ts for the records and logged-environment.ts for how they reach the disk. */
export class EmbeddedStore implements Store {
  readonly features: StoreFeatures = {
    name: 'embedded',
    ordered: true,
    exclusive: true,
  }
  readonly collector: Collector
  readonly #committer: Committer
  readonly #open = new Map<BucketName, BucketState>()
  readonly #heartbeatMs: number
  #closing: Promise<void> | undefined

  constructor(
    /** For the invariant scan. */
    readonly environment: LoggedEnvironment,
    private readonly lock: DirectoryLock,
    { onFatal, heartbeatMs = 4000 }: EmbeddedOptions,
  ) {
    this.#heartbeatMs = heartbeatMs
    this.#committer = new Committer(environment, { onFatal })
    this.collector = new Collector(environment, this.#committer)
    this.collector.wake()
  }

  async create(bucket: BucketName): Promise<boolean> {
    const key = StoreKey.bucket(bucket)
    return this.#committer.submit(SMALL, (pending) => {
      if (pending.get(key) !== undefined) return false
      const next = pending.get(StoreKey.nextBucket)
      const id = next === undefined ? 1 : decodeBucketNumber(next)
      pending.put(StoreKey.nextBucket, encodeBucketNumber(id + 1))
      pending.put(key, encodeBucketNumber(id))
      return true
    })
  }

  async open(bucket: BucketName): Promise<BucketStore> {
    this.#committer.check()
    const state = this.#state(bucket)
    if (state === undefined || state.dropped) throw new Kv4Error('bucket_not_found')
    state.handles++
    return new EmbeddedBucket(state, this.environment, this.#committer, this.#heartbeatMs, () => {
      if (--state.handles === 0 && this.#open.get(bucket) === state) this.#open.delete(bucket)
    })
  }

  async drop(bucket: BucketName): Promise<boolean> {
    const key = StoreKey.bucket(bucket)
    const dropped = await this.#committer.submit(SMALL, (pending) => {
      const found = pending.get(key)
      if (found === undefined) return undefined
      const id = decodeBucketNumber(found)
      pending.remove(key)
      pending.put(StoreKey.dropped(id), Buffer.alloc(0))
      // From here on no write to it is planned and nothing reads it, though its name is still on disk.
      const open = this.#open.get(bucket)
      const state = open?.id === id ? open : new BucketState(bucket, id, this.environment)
      state.dropped = true
      this.#open.set(bucket, state)
      return state
    })
    if (dropped === undefined) return false
    if (this.#open.get(bucket) === dropped) this.#open.delete(bucket)
    dropped.wake()
    this.collector.wake()
    return true
  }

  async *list(): AsyncIterable<BucketName> {
    let start = StoreKey.buckets
    const end = behind(start)
    for (;;) {
      this.#committer.check()
      const keys = [...this.environment.keys({ start, end, limit: NAMES })]
      for (const key of keys) yield StoreKey.nameOf(key)
      if (keys.length < NAMES) return
      start = Buffer.concat([keys.at(-1)!, Buffer.from([0])])
    }
  }

  async ping(): Promise<void> {
    this.#committer.check()
  }

  /** The disk failed behind what was acknowledged. */
  fail(error: Error): void {
    this.#committer.fail(error)
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #close(): Promise<void> {
    for (const state of this.#open.values()) state.wake()
    await this.collector.stop()
    await this.#committer.close()
    await this.environment.close()
    await this.lock.release()
  }

  #state(bucket: BucketName): BucketState | undefined {
    const open = this.#open.get(bucket)
    if (open !== undefined) return open
    const found = this.environment.get(StoreKey.bucket(bucket))
    if (found === undefined) return undefined
    const state = new BucketState(bucket, decodeBucketNumber(found), this.environment)
    this.#open.set(bucket, state)
    return state
  }
}
