import type { Principal } from '../auth/principal'
import type { Path } from '../core'
import type { EventSource } from './module'

/** Who asks to watch by another way than a GET of his own. */
export interface DoorWatcher {
  readonly principal: Principal
  readonly address: string
  /** Only this path and below; absent: everywhere. */
  readonly within?: Path
  /** The prefixes that he may watch: `_data`. */
  readonly prefixes: readonly string[]
  /** Ends the watch. */
  readonly signal: AbortSignal
}

/** Opens the watch that `GET <target>&watch=1` would be, for services that have a way of their own to tell of it. */
export interface WatchDoor {
  /**
   * @param target path and query as in a request line: `/_data/lobby?k=x`
   * @param since a cursor; absent: from now, or as the target says
   * @throws forbidden for what he may not watch; what the GET would be refused with
   */
  open(watcher: DoorWatcher, target: string, since?: string): Promise<EventSource>
}
