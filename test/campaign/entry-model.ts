import type { SequentialModel } from './linearizability'

/** What a client asks of one entry. A condition is the number that it must have, 0: none. */
export type EntryCall =
  | { readonly kind: 'get' }
  | { readonly kind: 'put'; readonly value: string; readonly on?: number }
  | { readonly kind: 'remove'; readonly on?: number }

export type EntryAnswer =
  /** Of a get: what is there; of a put: the number that it got. */
  | { readonly kind: 'entry'; readonly n: number; readonly value: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'removed' }
  /** The condition did not hold. */
  | { readonly kind: 'refused' }

/** The latest version: its number (0: never written), and its value (null: a deletion). */
export interface EntryState {
  readonly n: number
  readonly value: string | null
}

/** One entry of a versioned layer, without a time to live. */
export const ENTRY_MODEL: SequentialModel<EntryState, EntryCall, EntryAnswer> = {
  initial: { n: 0, value: null },

  print: ({ n, value }) => `${n} ${value}`,

  alike(history) {
    const read = new Set(history.map(({ output }) => (output?.kind === 'entry' ? output.value : undefined)))
    return (call) => {
      if (call.kind === 'get' || (call.kind === 'put' && read.has(call.value))) return undefined
      return `${call.kind} ${call.on ?? ''}`
    }
  },

  apply(state, call, answer) {
    const live = state.value !== null
    switch (call.kind) {
      case 'get':
        if (answer === undefined) return state
        if (answer.kind === 'absent') return live ? undefined : state
        return answer.kind === 'entry' && answer.n === state.n && answer.value === state.value
          ? state
          : undefined
      case 'put': {
        const holds = call.on === undefined || (call.on === 0 ? !live : live && state.n === call.on)
        if (!holds) return answer === undefined || answer.kind === 'refused' ? state : undefined
        const next = { n: state.n + 1, value: call.value }
        return answer === undefined || (answer.kind === 'entry' && answer.n === next.n) ? next : undefined
      }
      case 'remove': {
        const holds = live && (call.on === undefined || state.n === call.on)
        const refusal = call.on === undefined ? 'absent' : 'refused'
        if (!holds) return answer === undefined || answer.kind === refusal ? state : undefined
        return answer === undefined || answer.kind === 'removed' ? { n: state.n + 1, value: null } : undefined
      }
      default:
        return call satisfies never
    }
  },
}
