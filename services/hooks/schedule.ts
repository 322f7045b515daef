/** Of a wait, added by chance, so that what failed together is not tried again together. */
const JITTER = 0.1

/**
 * When an event that failed is tried again.
 * @param tries that were made, at least 1
 * @param retriesMs the wait after the first, the second …
 * @param retryAfter ms that the endpoint asked for; a longer wait, never a shorter one
 * @returns ms from now; undefined: never
 */
export function waitAfter(
  tries: number,
  retriesMs: readonly number[],
  {
    retryAfter = 0,
    random = Math.random,
  }: { readonly retryAfter?: number; readonly random?: () => number } = {},
): number | undefined {
  const wait = retriesMs[tries - 1]
  return wait === undefined ? undefined : Math.max(Math.round(wait * (1 + JITTER * random())), retryAfter)
}

const FIRST_PROBE_MS = 5_000
const LONGEST_PROBE_MS = 5 * 60_000

/**
 * How long an endpoint that fails whatever it is sent is left alone before something new is sent to it.
 * @param failures without a success between
 * @param firstWait of the retries: who retries sooner asks sooner
 */
export function probeAfter(failures: number, firstWait: number): number {
  const first = Math.min(FIRST_PROBE_MS, Math.max(firstWait, 10))
  return Math.min(first * 2 ** Math.min(failures, 16), LONGEST_PROBE_MS, first * 60)
}
