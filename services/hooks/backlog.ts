import { isKv4Error } from '../../core'
import type { Bucket } from '../../core'
import type { StoredHook } from '../hook'
import { progressAddress, progressOf } from './progress'
import { Reader } from './reader'
import { Window } from './window'

const MOST = 1_000
const PATIENCE_MS = 1_000

export interface Backlog {
  readonly events: number
  /** There may be more: nobody counted to the end. */
  readonly more?: true
}

/**
 * How many events wait behind what a hook is done with, those that were set aside not among them. Counted by whoever
 * asks, up to 1,000 and for a second.
 */
export async function countBacklog(bucket: Bucket, { hook }: StoredHook): Promise<Backlog> {
  const progress = progressOf(hook, await bucket.get(progressAddress(hook.id), { consistent: true }))
  const end = new AbortController()
  const patience = setTimeout(() => end.abort(), PATIENCE_MS)
  let events = 0
  const reader = new Reader({
    bucket,
    hook,
    window: new Window(progress),
    signal: end.signal,
    isOnce: true,
    room: async () => {
      if (events >= MOST) end.abort()
    },
    offer: (_event, id, window) => {
      events++
      window.done(id)
    },
    onBackgroundError: (error) => {
      if (!isKv4Error(error, 'store_unavailable')) throw error
      end.abort()
    },
  })
  try {
    await reader.run()
  } finally {
    clearTimeout(patience)
  }
  return { events, ...(end.signal.aborted && { more: true }) }
}
