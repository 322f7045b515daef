/** One event of a stream of server-sent events. */
export interface ReceivedEvent {
  /** The last id that was sent, with this event or before. */
  readonly id: string
  readonly event: string
  /** Absent: only the id is a later one. */
  readonly data?: string
}

/** Reads server-sent events out of text, however it is cut into pieces. */
export class EventReader {
  #rest = ''
  #id = ''

  /** The events that are complete with this piece. */
  read(text: string): readonly ReceivedEvent[] {
    const blocks = (this.#rest + text).replaceAll('\r\n', '\n').split('\n\n')
    this.#rest = blocks.pop()!
    return blocks.flatMap((block) => this.#event(block) ?? [])
  }

  #event(block: string): ReceivedEvent | undefined {
    let event = 'message'
    let hasId = false
    const data: string[] = []
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':')
      const name = colon === -1 ? line : line.slice(0, colon)
      const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (name === 'id') {
        this.#id = value
        hasId = true
      } else if (name === 'event') event = value
      else if (name === 'data') data.push(value)
    }
    if (data.length > 0) return { id: this.#id, event, data: data.join('\n') }
    return hasId ? { id: this.#id, event } : undefined
  }
}
