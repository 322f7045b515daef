import { isKv4Error } from '../../core'
import type { Bucket, WatchEvent } from '../../core'
import type { HookMatch } from '../hook'
import { eventId, eventTime, filterOf, matches } from './match'
import { Window } from './window'

const RETRY_MS = 1_000
/** What was written on another machine, or took long to be written, may seem older than what came before it. */
const CLOCKS_MS = 60_000

export interface ReaderOptions {
  readonly bucket: Bucket
  readonly hook: HookMatch & { readonly id: string }
  readonly window: Window
  readonly signal: AbortSignal
  /** Unix ms, both inclusive: other events are passed by. */
  readonly from?: number
  readonly to?: number
  /** Ends when it has read what is there. */
  readonly isOnce?: boolean
  /** Resolves when there is room for one more. */
  readonly room: () => Promise<void>
  /** An event that is in the window now. */
  readonly offer: (event: WatchEvent, id: string, window: Window) => void
  /** How many changes went by, without anything to offer. */
  readonly passed?: (changes: number) => void
  readonly onBackgroundError: (error: unknown) => void
}

/** Reads the feed behind a window's cursor and offers what a hook is to be told of, no faster than it is taken. */
export class Reader {
  #window: Window
  #from: number
  readonly #to: number

  constructor(private readonly options: ReaderOptions) {
    this.#window = options.window
    this.#from = options.from ?? -Infinity
    this.#to = options.to ?? Infinity
  }

  /** Another one after the cursor was of another store. */
  get window(): Window {
    return this.#window
  }

  /** Resolves with the signal, or at the end of what is there. @throws bucket_not_found */
  async run(): Promise<void> {
    const { signal, onBackgroundError } = this.options
    while (!signal.aborted) {
      try {
        if (await this.#read()) return
      } catch (error) {
        if (signal.aborted) return
        if (isKv4Error(error, 'bucket_not_found')) throw error
        if (isKv4Error(error, 'bad_cursor')) this.#beginAgain()
        else {
          onBackgroundError(error)
          await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref())
        }
      }
    }
  }

  /** true: at its end. */
  async #read(): Promise<boolean> {
    const { bucket, hook, signal, isOnce = false, room, offer } = this.options
    const end = new AbortController()
    const window = this.#window
    const events = bucket.watch(filterOf(hook), {
      since: window.reached.cursor,
      signal: AbortSignal.any([signal, end.signal]),
      passed: ({ cursor, changes, end: isEnd }) => {
        window.passed(cursor)
        this.options.passed?.(changes)
        if (isEnd && isOnce) end.abort()
      },
    })
    for await (const event of events) {
      if (end.signal.aborted) break
      const at = eventTime(event)
      if (at < this.#from || at > this.#to || !matches(hook, event)) {
        window.passed(event.cursor)
        continue
      }
      const id = eventId(hook.id, event)
      if (!window.isNew(id)) continue
      await room()
      if (signal.aborted) return true
      window.read(id, event.cursor, at)
      offer(event, id, window)
    }
    return signal.aborted || end.signal.aborted
  }

  /** The bucket was moved into another store, with all its history: what was told before is known by its time. */
  #beginAgain(): void {
    const { done, at } = this.#window.reached
    this.#window = new Window({ cursor: '', done, at })
    this.#from = Math.max(this.#from, at - CLOCKS_MS)
  }
}
