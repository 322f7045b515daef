/** A session as it travels between the tiers. */
export interface Session {
  readonly key: string
  /** The text that was set; null: the session was destroyed, and older copies must not bring it back. */
  readonly value: string | null
  /** When it was set, unix ms, by the clock of the box that set it. The later one wins, in every tier. */
  readonly at: number
  /** When its life ends, unix ms. 0: only when it is pushed out. */
  readonly exp: number
}

/** Objects are kept as their JSON text, as the original does. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
