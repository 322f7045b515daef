/** What a signalling client tells. */
export interface SignalEvents {
  /** In: everybody who is there, oneself among them. Again after each reconnection. */
  peers: readonly string[]
  connected: string
  removed: string
  message: SignalMessage
  /** Messages may have been missed: the connection was lost in between, or one between nodes. */
  gap: undefined
  /** It is over: closed here, or refused for good there. */
  closed: { readonly code: number; readonly reason: string }
}

export interface SignalMessage {
  readonly from: string
  /** Whom it was for; absent: everybody. */
  readonly to?: string
  readonly operation: string
  readonly payload: unknown
}

type Listener<Name extends keyof SignalEvents> = (event: SignalEvents[Name]) => void

/** Who listens to what. */
export class Listeners {
  readonly #byName = new Map<keyof SignalEvents, Set<Listener<never>>>()

  /** @returns ends the listening */
  add<Name extends keyof SignalEvents>(name: Name, listener: Listener<Name>): () => void {
    let listeners = this.#byName.get(name)
    if (listeners === undefined) this.#byName.set(name, (listeners = new Set<Listener<never>>()))
    listeners.add(listener)
    return () => listeners.delete(listener)
  }

  tell<Name extends keyof SignalEvents>(name: Name, event: SignalEvents[Name]): void {
    for (const listener of [...(this.#byName.get(name) ?? [])]) (listener as Listener<Name>)(event)
  }
}
