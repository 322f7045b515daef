import { BucketName, Path, isKv4Error, addressIn } from '../../core'
import type { Address, Bucket, Engine, Key } from '../../core'
import { documentOf, isDead, lapseOf, seenAt, type Document } from './document'
import { HOSTS, LAPSES, lapsePlace } from './places'

/** A host that may lapse, of any account. */
interface Timer {
  readonly bucket: BucketName
  readonly address: Address
  /** Unix ms before which looking is of no use. */
  due: number
  looking: boolean
}

const { account: BY } = BucketName.owner(BucketName.system)
const TICK_MS = 100
/** Who wrote the host looks first; others step in when he does not. */
const OTHERS_MS = 1_000
const RETRY_MS = 1_000
/** Whoever writes a host notes it here before, so a note this young may be of one that is about to be written. */
const YOUNG_MS = 60_000
const AT_ONCE = 1_000
const LOOKS_AT_ONCE = 64

/**
 * Tells the watchers of a host when it lapses: by a version of it that says `dead`, and keeps `updated_at`. Readers do
 * not wait for that (document.ts).
 *
 *   noted in `$sys` ──the host is written──▶ alive ──no update in time──▶ marked dead, the note goes
 *         ▲                                                                    │
 *         └──────────────────────── the host is written ◀─────────────────────┘
 *
 * The note is written when a host begins to have a lapse time, changes it or was dead, not with each update; by it every
 * node finds every such host without opening every account. All nodes keep an eye on all of them: the mark is a write
 * over the very version that lapsed, so one of them makes it, once.
 */
export class Lapses {
  readonly #system: Bucket
  readonly #timers = new Map<string, Timer>()
  readonly #abort = new AbortController()
  #soonest = Infinity
  #interval: NodeJS.Timeout | undefined
  #watching: Promise<void> | undefined
  readonly #looks = new Set<Promise<void>>()

  constructor(
    private readonly engine: Engine,
    private readonly onBackgroundError: (error: unknown) => void,
  ) {
    this.#system = engine.bucket(BucketName.system)
  }

  async start(): Promise<void> {
    const since = await this.#system.cursor()
    await this.#load()
    this.#watching = this.#follow(since)
    this.#interval = setInterval(() => this.#tick(), TICK_MS).unref()
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    clearInterval(this.#interval)
    await Promise.all(this.#looks)
    await this.#watching
  }

  /** To be called before `next` is written over `before`. */
  async expect(
    bucket: BucketName,
    address: Address,
    next: Document,
    before: Document | undefined,
  ): Promise<void> {
    if (address.layer !== HOSTS) return
    const end = lapseOf(next)
    if (end === undefined) return
    const noted =
      before !== undefined &&
      !isDead(before) &&
      before.lapses_after === next.lapses_after &&
      this.#knows(bucket, address)
    if (!noted) await this.#system.put(addressIn(lapsePlace(bucket, address), address.key), end, { by: BY })
    this.#keep(bucket, address, end)
  }

  #knows(bucket: BucketName, address: Address): boolean {
    return this.#timers.has(nameOf(bucket, address))
  }

  #keep(bucket: BucketName, address: Address, due: number): void {
    const name = nameOf(bucket, address)
    const timer = this.#timers.get(name)
    if (timer === undefined) this.#timers.set(name, { bucket, address, due, looking: false })
    else timer.due = Math.min(timer.due, due)
    this.#soonest = Math.min(this.#soonest, due)
  }

  #tick(): void {
    const now = Date.now()
    if (now < this.#soonest || this.#looks.size >= LOOKS_AT_ONCE) return
    this.#soonest = Infinity
    for (const [name, timer] of this.#timers) {
      if (timer.due <= now && !timer.looking && this.#looks.size < LOOKS_AT_ONCE) this.#begin(name, timer)
      else this.#soonest = Math.min(this.#soonest, timer.due)
    }
  }

  #begin(name: string, timer: Timer): void {
    timer.looking = true
    timer.due = Infinity
    const look: Promise<void> = this.#look(timer)
      .then(
        (due) => {
          if (due === undefined && timer.due === Infinity) this.#timers.delete(name)
          else if (due !== undefined) timer.due = Math.min(timer.due, due)
        },
        (error: unknown) => {
          timer.due = Math.min(timer.due, Date.now() + RETRY_MS)
          if (!isKv4Error(error, 'store_unavailable') && !isKv4Error(error, 'overloaded'))
            this.onBackgroundError(error)
        },
      )
      .finally(() => {
        timer.looking = false
        this.#soonest = Math.min(this.#soonest, timer.due)
        this.#looks.delete(look)
      })
    this.#looks.add(look)
  }

  /** When to look again; undefined: there is nothing to look after any more. */
  async #look({ bucket, address }: Timer): Promise<number | undefined> {
    const noteAt = addressIn(lapsePlace(bucket, address), address.key)
    // Before the host: a note that is written after the mark is another one, and stays.
    const note = await this.#system.get(noteAt, { consistent: true })
    try {
      const account = this.engine.bucket(bucket)
      const version = await account.get(address, { consistent: true })
      const document = version && documentOf(version)
      const end = document && lapseOf(document)
      const now = Date.now()
      if (end !== undefined && now < end) return end
      if (end !== undefined) {
        await account.put(address, seenAt(document!, now), { by: BY, expect: { n: version!.n } })
      } else if (note !== undefined && note.at > now - YOUNG_MS && !(document && isDead(document))) {
        return note.at + YOUNG_MS
      }
    } catch (error) {
      // Written meanwhile, or marked by another node.
      if (isKv4Error(error, 'version_conflict')) return Date.now()
      if (!isKv4Error(error, 'bucket_not_found')) throw error
    }
    if (note === undefined) return undefined
    try {
      await this.#system.remove(noteAt, { by: BY, expect: { n: note.n } })
      return undefined
    } catch (error) {
      if (!isKv4Error(error, 'version_conflict')) throw error
      return Date.now()
    }
  }

  async #load(): Promise<void> {
    let afterPath: Path | undefined
    do {
      const paths = await this.#system.paths(LAPSES, Path.root, 2, {
        consistent: true,
        limit: AT_ONCE,
        ...(afterPath !== undefined && { after: afterPath }),
      })
      for (const path of paths.items) {
        const at = placeOf(path)
        if (at === undefined) continue
        let after: Key | undefined
        do {
          const page = await this.#system.entries(
            { layer: LAPSES, path },
            { consistent: true, limit: AT_ONCE, ...(after !== undefined && { after }) },
          )
          for (const { key, version } of page.items) this.#heard(at, key, version.v)
          after = page.next
        } while (after !== undefined)
      }
      afterPath = paths.next
    } while (afterPath !== undefined)
  }

  async #follow(since: string): Promise<void> {
    const { signal } = this.#abort
    let cursor = since
    while (!signal.aborted) {
      try {
        for await (const event of this.#system.watch({ layer: LAPSES }, { since: cursor, signal })) {
          cursor = event.cursor
          const at = placeOf(event.address.path)
          if (at === undefined || event.kind === 'series') continue
          const name = nameOf(at.bucket, addressIn(at, event.address.key))
          if (event.version.op !== 'delete') this.#heard(at, event.address.key, event.version.v)
          else if (this.#timers.get(name)?.looking === false) this.#timers.delete(name)
        }
      } catch (error) {
        if (signal.aborted) return
        this.onBackgroundError(error)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref())
      }
    }
  }

  #heard(at: Omit<Address, 'key'> & { readonly bucket: BucketName }, key: Key, end: unknown): void {
    const { bucket, layer, path } = at
    const due = typeof end === 'number' ? end : 0
    this.#keep(bucket, { layer, path, key }, due + OTHERS_MS + Math.random() * OTHERS_MS)
  }
}

function nameOf(bucket: BucketName, { path, key }: Address): string {
  return `${bucket}${path}/${key}`
}

/** Of which hosts the notes at a path of `$sys` are. */
function placeOf(
  path: Path,
): { readonly bucket: BucketName; readonly layer: typeof HOSTS; readonly path: Path } | undefined {
  const [name, service] = Path.segments(path)
  const bucket = name === undefined ? undefined : BucketName.fromDatabase(`kv4_${name}_data`)
  return bucket === undefined || service === undefined
    ? undefined
    : { bucket, layer: HOSTS, path: Path.parse(service) }
}
