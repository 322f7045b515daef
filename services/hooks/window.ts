import type { Cursor } from '../../core'

/** How far a reader is, as it is stored. */
export interface Reached {
  /** Everything before it is done with. */
  readonly cursor: Cursor
  /** Events behind the cursor that are done with too. */
  readonly done: readonly string[]
  /** Unix ms: where to begin in time, should the cursor be of a store that was left. */
  readonly at: number
}

interface Open {
  readonly id: string
  readonly at: number
  /** Going on from here misses nothing behind this event. */
  cursor: Cursor
  done: boolean
}

/**
 * The events between where a reader has to begin again and where it is, of which some are done with. They are done with
 * in any order; the cursor follows the first that is not. An event's cursor may lie before the event itself, at the
 * beginning of what it was read with, so that the last that were done with are kept in mind behind the cursor too.
 *
 *     done  done  done │ open  done  open  done │ not read yet
 *                 cursor
 */
export class Window {
  readonly #open = new Map<string, Open>()
  #cursor: Cursor
  #at: number
  /** Done with since the cursor moved last, and between that and the time before. */
  #recent: Set<string>
  #older = new Set<string>()

  constructor({ cursor, done, at }: Reached) {
    this.#cursor = cursor
    this.#recent = new Set(done)
    this.#at = at
  }

  /** Events that were read and are not behind the cursor yet. */
  get size(): number {
    return this.#open.size
  }

  /** Whether it is the first time that this event is met. */
  isNew(id: string): boolean {
    return !this.#open.has(id) && !this.#recent.has(id) && !this.#older.has(id)
  }

  /** An event that has to be done with, in the order of the feed. */
  read(id: string, cursor: Cursor, at: number): void {
    this.#open.set(id, { id, cursor, at, done: false })
  }

  done(id: string): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    open.done = true
    this.#advance()
  }

  /** There was nothing to do up to here, behind the last event that was read. */
  passed(cursor: Cursor): void {
    const last = [...this.#open.values()].at(-1)
    if (last === undefined) this.#move(cursor, Date.now())
    else last.cursor = cursor
  }

  get reached(): Reached {
    const done = [...this.#older, ...this.#recent]
    for (const open of this.#open.values()) if (open.done) done.push(open.id)
    return { cursor: this.#cursor, done, at: this.#open.values().next().value?.at ?? this.#at }
  }

  #advance(): void {
    for (const { id, done, cursor, at } of this.#open.values()) {
      if (!done) return
      this.#open.delete(id)
      this.#move(cursor, at)
      this.#recent.add(id)
    }
  }

  #move(cursor: Cursor, at: number): void {
    this.#at = Math.max(this.#at, at)
    if (cursor === this.#cursor) return
    this.#cursor = cursor
    this.#older = this.#recent
    this.#recent = new Set()
  }
}
