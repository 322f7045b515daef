/** What a process remembers of a record that it has read. */
export interface HotCopy {
  /** null: destroyed. */
  readonly value: string | null
  readonly exp: number
  /** As in the record; renewed when a use was written down. */
  used: number
}

/** What a copy takes beside its characters, about. */
const OVERHEAD = 160
/** Of the copies that find no room, every so manieth pushes others out. */
const ADMIT = 8

/**
 * The process's own copies of the records that it reads most, as text that is ready to be given out: reading one from
 * the shared table takes ten times as long. Bounded in bytes; whoever keeps copies here drops them when the table
 * changes.
 */
export class HotCopies {
  readonly #copies = new Map<string, HotCopy>()
  #bytes = 0
  #passedBy = 0

  /** `most`: bytes. 0: keeps none. */
  constructor(private readonly most: number) {}

  get size(): number {
    return this.#copies.size
  }

  get bytes(): number {
    return this.#bytes
  }

  get(key: string): HotCopy | undefined {
    return this.#copies.get(key)
  }

  keep(key: string, copy: HotCopy): void {
    const size = sizeOf(key, copy)
    if (size > this.most / 8) return
    this.drop(key)
    if (this.#bytes + size > this.most) {
      // A flood of keys that each come once would throw all others out, for nothing.
      if (++this.#passedBy % ADMIT !== 0) return
      for (const oldest of this.#copies.keys()) {
        if (this.#bytes + size <= this.most) break
        this.drop(oldest)
      }
    }
    this.#copies.set(key, copy)
    this.#bytes += size
  }

  drop(key: string): void {
    const copy = this.#copies.get(key)
    if (copy === undefined) return
    this.#copies.delete(key)
    this.#bytes -= sizeOf(key, copy)
  }

  clear(): void {
    this.#copies.clear()
    this.#bytes = 0
  }
}

function sizeOf(key: string, { value }: HotCopy): number {
  return 2 * (key.length + (value?.length ?? 0)) + OVERHEAD
}
