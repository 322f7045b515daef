import { setImmediate as turn } from 'node:timers/promises'
import { Path } from '../../../core'
import type { Socket, SocketListener } from '../../socket'
import type { Channel } from '../channel'
import type { ClusterEvents } from './cluster'
import { isLost, type Lost, type Parcel, type Receipt } from './parcel'

const REPLACED = 1000
/** Parcels that may wait to be dealt with before no more are read. */
const MAX_QUEUED = 2_000

/** What the parcels of one life of a node say. */
export interface InboxEvents extends Pick<ClusterEvents, 'message' | 'gap'> {
  announced(node: string, channel: Channel): void
}

/** What arrives from one life of another node, dealt with one after the other, each once. */
export class Inbox {
  #last = 0
  /** The next number is wherever the sender goes on. */
  #skips = false
  readonly #queue: { readonly frame: Parcel | Lost; readonly socket: Socket }[] = []
  #working: Promise<void> | undefined
  #socket: Socket | undefined
  #isPaused = false

  constructor(
    private readonly node: string,
    private readonly events: InboxEvents,
  ) {}

  /** Takes a new connection of the node in the place of the one before. */
  listener(): SocketListener {
    let own: Socket | undefined
    return {
      open: (socket) => {
        own = socket
        this.#socket?.close(REPLACED)
        this.#socket = socket
        this.#isPaused = false
        // What came by the connection before is dealt with first: only then is it known what is there.
        void (this.#working ?? Promise.resolve()).then(() => receipt(socket, { last: this.#last }))
      },
      message: (bytes) => {
        if (own !== this.#socket) return
        this.#queue.push({ frame: JSON.parse(bytes.toString('utf8')) as Parcel | Lost, socket: own! })
        if (this.#queue.length > MAX_QUEUED && !this.#isPaused) {
          this.#isPaused = true
          own!.pause()
        }
        this.#working ??= this.#work()
      },
      closed: () => {
        if (own === this.#socket) this.#socket = undefined
      },
    }
  }

  end(): void {
    this.#socket?.close(REPLACED)
  }

  async #work(): Promise<void> {
    for (;;) {
      const next = this.#queue.shift()
      if (next === undefined) {
        if (this.#socket !== undefined) {
          receipt(this.#socket, { ack: this.#last })
          if (this.#isPaused) this.#socket.resume()
          this.#isPaused = false
        }
        // Receipts are for all that arrives in one turn.
        await turn()
        if (this.#queue.length > 0) continue
        this.#working = undefined
        return
      }
      await this.#handle(next.frame)
    }
  }

  async #handle(frame: Parcel | Lost): Promise<void> {
    if (isLost(frame)) {
      this.events.gap(this.node, frame.lost?.map(channelOf))
      this.#skips = true
      return
    }
    const { q, c, m } = frame
    // After a reconnection some may come twice.
    if (q <= this.#last) return
    if (!this.#skips && q !== this.#last + 1) this.events.gap(this.node, undefined)
    this.#skips = false
    const channel = channelOf(c)
    if (m === undefined) this.events.announced(this.node, channel)
    else await this.events.message(this.node, channel, m)
    this.#last = q
  }
}

function receipt(socket: Socket, text: Receipt): void {
  socket.send(JSON.stringify(text))
}

/** What another node of the platform says; it is only looked up among the rooms that are here. */
function channelOf({ bucket, path }: Channel): Channel {
  return { bucket: bucket, path: Path.parse(path) }
}
