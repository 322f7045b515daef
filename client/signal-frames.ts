import type { SignalEvents } from './signal-events'

/** What one frame tells, as a pair of event and its value. */
export type Told = {
  [Name in keyof SignalEvents]: { readonly name: Name; readonly value: SignalEvents[Name] }
}[keyof SignalEvents]

interface Envelope {
  readonly t: string
  readonly m: { readonly f: string; readonly t?: string | null; readonly o?: string }
  readonly p: unknown
}

const SYSTEM = '__sys__'

/** undefined: nothing that is known here. */
export function read(frame: string): Told | undefined {
  const { m, p } = JSON.parse(frame) as Envelope
  const from = lastSegment(m.f)
  switch (m.o) {
    case 'peers':
      return from === SYSTEM ? { name: 'peers', value: (p as { readonly users: string[] }).users } : undefined
    case 'peer_connected':
      return { name: 'connected', value: from }
    case 'peer_removed':
      return { name: 'removed', value: from }
    case 'gap':
      return from === SYSTEM ? { name: 'gap', value: undefined } : message(from, m, p)
    default:
      return message(from, m, p)
  }
}

function message(from: string, { t, o }: Envelope['m'], payload: unknown): Told {
  // Other clients say null, or nothing, of a target that they have not.
  const to = t ? { to: lastSegment(t) } : {}
  return { name: 'message', value: { from, ...to, operation: o ?? '', payload } }
}

/** The sender is left to the server, which knows it from the token. */
export function write(payload: unknown, operation: string, to: string | undefined): string {
  const m = { f: '', ...(to !== undefined && { t: to }), o: operation }
  return JSON.stringify({ t: 'u', m, p: payload === undefined ? null : payload })
}

function lastSegment(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
