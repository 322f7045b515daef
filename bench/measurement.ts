/** What a measurement may use. */
export interface BenchContext {
  /** Of each load, after a warm-up of half of it. */
  readonly seconds: number
  /** How often each side of a comparison is measured, in turns; the median counts. */
  readonly rounds: number
  /** A CouchDB to fill and empty again; absent: what needs one is skipped. */
  readonly couchdbUrl?: string
}

/** One line of the table. */
export interface Row {
  readonly what: string
  readonly value: number
  readonly unit: string
  /** CPU of the measured process per request, µs: unlike the rate it hardly depends on what else the machine does. */
  readonly cpuMicros?: number
  /** `value` against that of another row of the same run, by its `what`. */
  readonly against?: string
  /** What the ratio (or, without `against`, the value) has to reach. */
  readonly target?: { readonly atLeast: number } | { readonly atMost: number }
}

export interface Measurement {
  /** Chosen by `npm run bench -- <name>`. */
  readonly name: string
  readonly title: string
  readonly needsCouchdb?: boolean
  run(context: BenchContext): Promise<readonly Row[]>
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
