import type { Engine } from '../core'

const PATIENCE_MS = 2_000
const REMEMBERED_MS = 1_000

/**
 * Whether the store answers, for /readyz. Asked by anybody, so one question serves all who ask within a second.
 */
export function readiness(engine: Pick<Engine, 'ping'>): () => Promise<boolean> {
  let asked = -Infinity
  let answer: Promise<boolean> = Promise.resolve(false)

  async function ask(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), PATIENCE_MS)
    })
    const pong = engine.ping().then(
      () => true,
      () => false,
    )
    try {
      return await Promise.race([pong, late])
    } finally {
      clearTimeout(timer)
    }
  }

  return () => {
    const now = performance.now()
    if (now - asked >= REMEMBERED_MS) {
      asked = now
      answer = ask()
    }
    return answer
  }
}
