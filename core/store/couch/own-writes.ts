import type { Change, Write } from '../store'

/** Batches whose documents are remembered: a feed that is further behind reads them. */
const MOST_BATCHES = 32
/** How long a row waits for the answer to the request that may have caused it. */
const MOST_WAIT_MS = 1000

/** A request that is under way, with the ids it may write. */
interface Flight {
  readonly ids: ReadonlySet<string>
  readonly landed: Promise<void>
  /** `landed`, or long enough. */
  waited?: Promise<void>
}

/**
 * What this handle itself has lately written, for one reader of the live feed: by revision, since that names the content
 * of a document. The feed need not carry what is found here. Bounded, and forgotten as it is told.
 */
export class OwnWrites {
  readonly #changes = new Map<string, Change>()
  readonly #batches: string[][] = []
  readonly #flights = new Set<Flight>()

  /** Before the documents are sent. Call what it returns when they were answered, whatever the answer. */
  sending(ids: readonly string[]): () => void {
    let land!: () => void
    const landed = new Promise<void>((resolve) => (land = resolve))
    const flight: Flight = { ids: new Set(ids), landed }
    this.#flights.add(flight)
    return () => {
      this.#flights.delete(flight)
      land()
    }
  }

  /** What an answer said: the revision under which CouchDB has each write. */
  wrote(written: readonly { readonly id: string; readonly rev: string; readonly write: Write }[]): void {
    const batch = written.map(({ id, rev, write }) => {
      const name = nameOf(id, rev)
      this.#changes.set(name, changeOf(write))
      return name
    })
    this.#batches.push(batch)
    if (this.#batches.length > MOST_BATCHES)
      for (const name of this.#batches.shift()!) this.#changes.delete(name)
  }

  /** The change that is this revision, once; undefined: written by another, or too long ago. */
  take(id: string, rev: string): Change | undefined {
    const name = nameOf(id, rev)
    const change = this.#changes.get(name)
    if (change !== undefined) this.#changes.delete(name)
    return change
  }

  /** undefined, or the end of the request under way that writes this id: the feed can be ahead of its answer. */
  flight(id: string): Promise<void> | undefined {
    for (const flight of this.#flights)
      if (flight.ids.has(id)) return (flight.waited ??= withinWait(flight.landed))
    return undefined
  }
}

// No byte of an id is a control character.
function nameOf(id: string, rev: string): string {
  return `${id}\n${rev}`
}

function changeOf(write: Write): Change {
  const { address } = write
  return write.kind === 'series'
    ? { kind: 'series', address, sample: write.sample }
    : { kind: write.kind, address, version: write.version }
}

async function withinWait(landed: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, MOST_WAIT_MS)))
  await Promise.race([landed, late])
  clearTimeout(timer)
}
