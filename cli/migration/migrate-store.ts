import type { BucketName, Store } from '../../core'
import { CliFailure, EXIT } from '../failure'
import type { Counts } from './content-digest'
import { migrateBucket } from './migrate-bucket'

export interface MigrateOptions {
  /** The target may hold a part of the source already. */
  readonly resume: boolean
  /** Told after each bucket. */
  readonly onBucket?: (bucket: BucketName, counts: Counts) => void
}

export interface Migrated extends Counts {
  readonly buckets: number
}

/**
 * Copies every bucket of a store into another one, through the port alone, so that any adapter can be either side.
 * Nobody else may write to either of them.
 * @throws CliFailure when the target holds something and `resume` is off, or holds a bucket that the source lacks,
 *   and as migrateBucket does
 */
export async function migrateStore(source: Store, target: Store, options: MigrateOptions): Promise<Migrated> {
  await checkTarget(source, target, options.resume)
  const total = { buckets: 0, versions: 0, current: 0, samples: 0 }
  for await (const name of source.list()) {
    const counts = await migrateOne(source, target, name)
    total.buckets++
    total.versions += counts.versions
    total.current += counts.current
    total.samples += counts.samples
    options.onBucket?.(name, counts)
  }
  return total
}

async function migrateOne(source: Store, target: Store, name: BucketName): Promise<Counts> {
  const from = await source.open(name)
  try {
    await target.create(name)
    const to = await target.open(name)
    try {
      return await migrateBucket(from, to, target.features)
    } catch (error) {
      if (error instanceof CliFailure)
        throw new CliFailure(error.exit, `${name}: ${error.message}`, error.remedy)
      throw error
    } finally {
      await to.close()
    }
  } finally {
    await from.close()
  }
}

async function checkTarget(source: Store, target: Store, resume: boolean): Promise<void> {
  const known = new Set<BucketName>()
  if (resume) for await (const name of source.list()) known.add(name)
  for await (const name of target.list()) {
    if (!resume)
      throw new CliFailure(
        EXIT.refused,
        `the target is not empty: it holds ${name}`,
        'Name an empty target, or go on with a migration that was broken off: --resume.',
      )
    if (!known.has(name))
      throw new CliFailure(
        EXIT.refused,
        `the target holds ${name}, which the source does not have`,
        'It belongs to something else: name another target.',
      )
  }
}
