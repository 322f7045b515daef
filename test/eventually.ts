import { setTimeout as wait } from 'node:timers/promises'

/** For what a busy machine may take long for; a test's own time ends later. */
const PATIENCE_MS = 20_000
const PAUSE_MS = 10

/** Tries again until the assertion holds, and answers what it does. In vain: the assertion's own error. */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  patienceMs: number = PATIENCE_MS,
): Promise<T> {
  const giveUpAt = Date.now() + patienceMs
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (Date.now() > giveUpAt) throw error
      await wait(PAUSE_MS)
    }
  }
}

/** Looks again until there is something: neither undefined nor false. */
export function until<T>(
  look: () => T | false | undefined | Promise<T | false | undefined>,
  what = 'what was waited for',
  patienceMs?: number,
): Promise<T> {
  return eventually(async () => {
    const found = await look()
    if (found === undefined || found === false) throw new Error(`it did not come about: ${what}`)
    return found
  }, patienceMs)
}
