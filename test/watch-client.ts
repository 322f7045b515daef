import { request, type ClientRequest, type IncomingMessage } from 'node:http'
import type { Client } from './client'

/** One event of a stream, as a client that knows server-sent events has it. */
export interface StreamedEvent {
  readonly id: string
  readonly event: string
  readonly data: Readonly<Record<string, unknown>>
}

/** A reader of server-sent events that keeps what a browser's EventSource keeps, and can stop reading. */
export class WatchClient {
  /** In the order of arrival. */
  readonly events: StreamedEvent[] = []
  /** Of the last event that was complete, with or without data. */
  lastEventId = ''
  /** Comments, such as heartbeats. */
  comments = 0
  ended = false
  #rest = ''
  #wake: (() => void)[] = []

  private constructor(
    private readonly asked: ClientRequest,
    readonly response: IncomingMessage,
  ) {
    response.setEncoding('utf8')
    response.on('data', (text: string) => this.#read(text))
    const end = () => {
      this.ended = true
      this.#tell()
    }
    response.once('end', end)
    response.once('close', end)
    response.on('error', end)
  }

  /** Resolves with the head of the answer, and the first event id where the watch was good. */
  static async open(
    client: Client,
    target: string,
    {
      lastEventId,
      method = 'GET',
      accept,
    }: { readonly lastEventId?: string; readonly method?: string; readonly accept?: string } = {},
  ): Promise<WatchClient> {
    const url = new URL(client.url + target)
    const asked = request(url, {
      method,
      agent: false,
      headers: {
        Authorization: 'Basic ' + Buffer.from(`${client.user}:${client.password}`).toString('base64'),
        ...(lastEventId !== undefined && lastEventId !== '' && { 'Last-Event-ID': lastEventId }),
        ...(accept !== undefined && { Accept: accept }),
      },
    })
    asked.on('error', () => undefined)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      asked.once('response', resolve).once('error', reject).end()
    })
    return new WatchClient(asked, response)
  }

  get status(): number {
    return this.response.statusCode!
  }

  /** The first `count` events, once there are as many. */
  async take(count: number, ms = 15_000): Promise<readonly StreamedEvent[]> {
    await this.until(() => this.events.length >= count, ms)
    return this.events.slice(0, count)
  }

  async until(holds: () => boolean, ms = 15_000): Promise<void> {
    const deadline = Date.now() + ms
    while (!holds()) {
      const left = deadline - Date.now()
      if (left <= 0 || (this.ended && !holds()))
        throw new Error(
          `the stream ${this.ended ? 'ended' : 'said nothing more'} after ${this.events.length} events`,
        )
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  /** Stops reading: what comes waits on its way. */
  pause(): void {
    this.response.pause()
  }

  resume(): void {
    this.response.resume()
  }

  close(): void {
    this.asked.destroy()
  }

  #read(text: string): void {
    this.#rest += text
    const blocks = this.#rest.split('\n\n')
    this.#rest = blocks.pop()!
    for (const block of blocks) {
      let event = 'message'
      let data: string | undefined
      for (const line of block.split('\n')) {
        if (line.startsWith(':')) this.comments++
        else if (line.startsWith('id: ')) this.lastEventId = line.slice(4)
        else if (line.startsWith('event: ')) event = line.slice(7)
        else if (line.startsWith('data: ')) data = (data ?? '') + line.slice(6)
      }
      if (data !== undefined)
        this.events.push({
          id: this.lastEventId,
          event,
          data: JSON.parse(data) as StreamedEvent['data'],
        })
    }
    this.#tell()
  }

  #tell(): void {
    for (const wake of this.#wake.splice(0)) wake()
  }
}
