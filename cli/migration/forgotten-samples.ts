import type { Address, Aggregate, AggregateRow, Key, Layer } from '../../core'
import { Path } from '../../core'
import type { BucketStore } from '../../core/store/store'
import { CliFailure, EXIT } from '../failure'
import { FILLER } from './fillers'

const NAMES_A_PAGE = 500
const SAMPLES_AT_ONCE = 500
const FILLER_ID = 'kv4-migrate'

/**
 * Samples that retention has forgotten still count in the aggregates of their minutes. Where the target counts less
 * than the source, the difference is appended as one sample of that minute and forgotten at once, which leaves its
 * aggregate.
 */
export async function carryForgottenSamples(
  source: BucketStore,
  target: BucketStore,
  layers: Iterable<Layer>,
): Promise<void> {
  for (const layer of layers) {
    if (await isEqual(source, target, layer)) continue
    for await (const address of seriesOf(source, layer)) await carry(source, target, address)
    if (!(await isEqual(source, target, layer)))
      throw new CliFailure(
        EXIT.refused,
        `the aggregates of ${layer} differ between source and target`,
        'Forgotten samples of keys that have none left cannot be carried over, or somebody else writes: stop every server of both, then --resume.',
      )
  }
}

async function isEqual(source: BucketStore, target: BucketStore, layer: Layer): Promise<boolean> {
  const [[before], [after]] = await Promise.all([source.aggregate({ layer }), target.aggregate({ layer })])
  if (before === undefined || after === undefined) return before === after
  return (
    before.count === after.count &&
    before.min === after.min &&
    before.max === after.max &&
    // Sums of fractions depend on the order of adding.
    Math.abs(before.sum - after.sum) <= 1e-9 * Math.max(1, Math.abs(before.sum))
  )
}

async function* seriesOf(bucket: BucketStore, layer: Layer): AsyncGenerator<Address> {
  for await (const path of pages((page: { after?: Path; limit: number }) =>
    bucket.paths(layer, 'series', Path.root, undefined, page),
  )) {
    const keys = pages(async (page: { after?: Key; limit: number }) =>
      (await bucket.keys({ layer, path }, 'series', page)).map(({ key }) => key),
    )
    for await (const key of keys) yield { layer, path, key }
  }
}

async function* pages<Name extends string>(
  read: (page: { after?: Name; limit: number }) => Promise<readonly Name[]>,
): AsyncGenerator<Name> {
  let after: Name | undefined
  for (;;) {
    const names = await read({ limit: NAMES_A_PAGE, ...(after === undefined ? {} : { after }) })
    yield* names
    if (names.length < NAMES_A_PAGE) return
    after = names.at(-1)
  }
}

async function carry(source: BucketStore, target: BucketStore, address: Address): Promise<void> {
  const [before, after] = await Promise.all([minutes(source, address), minutes(target, address)])
  let last: number | undefined
  for (const [at, row] of before) {
    const missing = lacking(row, after.get(at))
    if (missing === undefined) continue
    const v = { sum: missing.sum, min: missing.min, max: missing.max, count: missing.count }
    await target.commit([{ kind: 'series', address, sample: { at, id: FILLER_ID, by: FILLER, v } }])
    last = at
  }
  if (last !== undefined) await forgetSamples(target, address, last)
}

/** Those up to and at an instant; their aggregates stay. */
export async function forgetSamples(bucket: BucketStore, address: Address, upTo: number): Promise<void> {
  while ((await bucket.pruneSamples(address, upTo + 1, SAMPLES_AT_ONCE)) > 0);
}

/** Rows by the unix ms in which their minute begins. */
async function minutes(bucket: BucketStore, address: Address): Promise<ReadonlyMap<number, AggregateRow>> {
  const rows = await bucket.aggregate({ ...address, by: 'minute' })
  return new Map(
    rows.map((row) => {
      const [year, month, day, hour, minute] = row.period
      return [Date.UTC(year!, month! - 1, day, hour, minute), row]
    }),
  )
}

/** What has to be added to `there` to make `whole` of it. */
function lacking(whole: Aggregate, there: Aggregate | undefined): Aggregate | undefined {
  if (there === undefined) return whole
  if (whole.count === there.count) return undefined
  return {
    sum: whole.sum - there.sum,
    min: whole.min,
    max: whole.max,
    count: whole.count - there.count,
  }
}
