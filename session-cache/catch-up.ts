import { SessionCacheError } from './errors'
import type { Frame } from './frames'
import type { RelayClient } from './relay-client'
import type { SharedTable } from './shared-table'

/** What was under way when a line broke, or a process ended, is lost too. */
export const SLACK_MS = 5000
/** Before that a line may still be telling what was missed, and a note would forget the rest of it. */
const SETTLED_MS = 5000
const NOTE_MS = 1000

/**
 * Notes in a table until when its line brought what others changed, so that whoever opens the table next, this process
 * or another, asks for what was missed since; `away` has the fields for that.
 */
export class CatchUp {
  readonly #timer: NodeJS.Timeout
  #noted = 0

  /** Without a table, of which this process alone knows when it was last told of something. */
  constructor(
    private readonly client: RelayClient,
    private readonly table: SharedTable | undefined,
  ) {
    // A table that nobody has told of anything yet has missed nothing.
    client.on('client-ready', () => {
      if (table !== undefined && table.toldUntil === undefined) this.#note(Date.now())
    })
    this.#timer = setInterval(() => {
      if (client.upMs >= SETTLED_MS) this.#note(client.heardAt)
    }, NOTE_MS).unref()
  }

  /** For the subscription of what changes. */
  away(): Frame {
    const now = Date.now()
    const { awayMs } = this.client
    const since = Math.min(this.table?.toldUntil ?? now, now - (awayMs ?? 0))
    const first = awayMs === undefined && this.table?.toldUntil === undefined
    return first ? {} : { away_ms: now - since + SLACK_MS }
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #note(at: number): void {
    if (this.table === undefined || at <= this.#noted) return
    try {
      this.table.noteTold(at)
      this.#noted = at
    } catch (error) {
      // With an older note more is asked for than was missed, that is all.
      if (!(error instanceof SessionCacheError)) throw error
    }
  }
}
