import type { Socket, SocketDialer, SocketListener } from '../../socket'
import { channelId, type Channel } from '../channel'
import type { Message } from '../message'
import { MAX_LINK_FRAME, type Lost, type Parcel, type Receipt } from './parcel'

/** What is kept to be sent again, until the other node says that it has it. */
const MAX_KEPT = 20_000
const MAX_KEPT_BYTES = 16 * 1024 * 1024
/** Channels that are remembered by name when more than that had to be given up. */
const MAX_LOST = 1_000
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2_000

export interface LinkOptions {
  /** `ws://10.0.0.5:4006/_subs/link` */
  readonly url: string
  readonly dial: SocketDialer
  /** The Authorization header, made anew for each connection. */
  readonly authorization: () => string
  /** The number of its first parcel: the `next` of an earlier link between the same two lives. Default 1. */
  readonly first?: number
}

interface Kept {
  readonly q: number
  readonly channel: Channel
  readonly text: string
}

/**
 * The way of messages to one life of one other node. They arrive in the order of sending, each once, over as many
 * connections as it takes; when too much piles up, the oldest are given up and the other node is told so.
 *
 *     idle ─first parcel─► dialling ─{"last"}─► sending ─┐
 *                              ▲──────── pause ◄──closed─┘
 */
export class Link {
  readonly #options: LinkOptions
  #next: number
  /** In order. What the other node has is taken off its front. */
  #kept: Kept[] = []
  #keptBytes = 0
  /** Given up, by channel, with the last number; undefined: too many to say. */
  #lost: Map<string, { readonly channel: Channel; readonly q: number }> | undefined = new Map()
  #lostUpTo = 0
  #socket: Socket | undefined
  #isSending = false
  #isDialling = false
  #ended = false
  #pause = FIRST_PAUSE_MS
  #timer: NodeJS.Timeout | undefined
  readonly #waiting = new Map<number, () => void>()

  constructor(options: LinkOptions) {
    this.#options = options
    this.#next = options.first ?? 1
  }

  /** The number of the next parcel. */
  get next(): number {
    return this.#next
  }

  send(channel: Channel, message: Message): void {
    this.#push(channel, { q: this.#next++, c: channel, m: message })
  }

  /**
   * false: it did not say in time that it has it.
   * @param late told when it says so after all
   */
  announce(channel: Channel, timeoutMs: number, late: () => void = () => undefined): Promise<boolean> {
    const q = this.#next++
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting.set(q, late)
        resolve(false)
      }, timeoutMs)
      this.#waiting.set(q, () => {
        clearTimeout(timer)
        resolve(true)
      })
      this.#push(channel, { q, c: channel })
    })
  }

  end(): void {
    this.#ended = true
    clearTimeout(this.#timer)
    this.#socket?.close(1000)
    this.#kept = []
  }

  #push(channel: Channel, parcel: Parcel): void {
    if (this.#ended) return
    const text = JSON.stringify(parcel)
    this.#kept.push({ q: parcel.q, channel, text })
    this.#keptBytes += text.length
    while (this.#kept.length > MAX_KEPT || this.#keptBytes > MAX_KEPT_BYTES) this.#giveUpOldest()
    if (this.#isSending) this.#socket!.send(text)
    else if (!this.#isDialling && this.#timer === undefined) this.#dial()
  }

  #giveUpOldest(): void {
    const { q, channel, text } = this.#kept.shift()!
    this.#keptBytes -= text.length
    this.#lostUpTo = q
    this.#lost?.set(channelId(channel), { channel, q })
    if (this.#lost !== undefined && this.#lost.size > MAX_LOST) this.#lost = undefined
  }

  #dial(): void {
    this.#isDialling = true
    const { dial, url, authorization } = this.#options
    const listener: SocketListener = {
      open: (socket) => {
        this.#socket = socket
        if (this.#ended) socket.close(1000)
      },
      message: (frame) => this.#received(JSON.parse(frame.toString('utf8')) as Receipt),
      closed: () => this.#closed(),
    }
    dial(url, listener, { headers: { Authorization: authorization() }, maxFrame: MAX_LINK_FRAME })
  }

  #received(receipt: Receipt): void {
    if ('ack' in receipt) {
      this.#drop(receipt.ack)
      return
    }
    this.#drop(receipt.last)
    this.#pause = FIRST_PAUSE_MS
    this.#tellLost(receipt.last)
    for (const { text } of this.#kept) this.#socket!.send(text)
    this.#isSending = true
  }

  /** The other node has everything up to this number. */
  #drop(q: number): void {
    let count = 0
    while (count < this.#kept.length && this.#kept[count]!.q <= q) {
      this.#keptBytes -= this.#kept[count]!.text.length
      this.#waiting.get(this.#kept[count]!.q)?.()
      this.#waiting.delete(this.#kept[count]!.q)
      count++
    }
    if (count > 0) this.#kept.splice(0, count)
    if (q >= this.#lostUpTo) this.#forgetLost()
  }

  #tellLost(last: number): void {
    if (this.#lostUpTo > last) {
      const lost =
        this.#lost && [...this.#lost.values()].filter(({ q }) => q > last).map((each) => each.channel)
      const frame: Lost = { lost: lost ?? null }
      this.#socket!.send(JSON.stringify(frame))
    }
    this.#forgetLost()
  }

  #forgetLost(): void {
    if (this.#lostUpTo === 0) return
    this.#lost = new Map()
    this.#lostUpTo = 0
  }

  #closed(): void {
    this.#socket = undefined
    this.#isSending = false
    this.#isDialling = false
    if (this.#ended || this.#kept.length === 0) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#dial()
    }, this.#pause)
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS)
  }
}
