import type { Frame } from './frames'
import type { FrameClient } from './frame-server'

/** Who is connected to a tier, and who wants to hear of what. */
export class Subscribers {
  readonly #clients = new Set<FrameClient>()

  add(client: FrameClient): void {
    this.#clients.add(client)
  }

  remove(client: FrameClient): void {
    this.#clients.delete(client)
  }

  /** Those who subscribed, but the one who speaks. */
  of(topic: string, but?: FrameClient): FrameClient[] {
    const found: FrameClient[] = []
    for (const client of this.#clients) if (client !== but && client.topics.has(topic)) found.push(client)
    return found
  }
}

/** A publication as the clients of the original want it: with `topic` and `_m_path`, without `_response_id`. */
export function publication(topic: string, path: string, fields: Frame): Frame {
  return { topic, _m_path: path, ...fields }
}
