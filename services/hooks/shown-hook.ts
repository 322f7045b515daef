import { VersionTag } from '../../core'
import type { Bucket, JsonObject } from '../../core'
import type { StoredHook } from '../hook'
import type { HookBook } from '../hook-book'
import { VER } from '../ver'
import { countBacklog } from './backlog'
import { jobsOf } from './jobs'
import { progressAddress, progressOf } from './progress'

/** A hook as its account sees it: what it asked for, and whether it was disabled. */
export function shownHook({ address, hook, version }: StoredHook): JsonObject {
  const { id, endpoint, layer, depth, key, prefix, events, values, description, created, disabled } = hook
  return {
    k: address.name,
    path: address.path,
    endpoint,
    layer,
    ...(depth !== undefined && { depth }),
    ...(key !== undefined && { key }),
    ...(prefix !== undefined && { prefix }),
    ...(events !== undefined && { events }),
    ...(values !== undefined && { values }),
    ...(description !== undefined && { description }),
    id,
    created,
    ...(disabled !== undefined && { disabled }),
    [VER]: VersionTag.of(version),
  }
}

/** With what became of it. */
export async function shownWithStatus(
  book: HookBook,
  bucket: Bucket,
  stored: StoredHook,
): Promise<JsonObject> {
  const { hook } = stored
  const [status, backlog, jobs, version] = await Promise.all([
    book.status(bucket, hook),
    countBacklog(bucket, stored),
    jobsOf(bucket, hook.id),
    bucket.get(progressAddress(hook.id)),
  ])
  const { replayed } = progressOf(hook, version)
  return {
    ...shownHook(stored),
    status: {
      ...(status as unknown as JsonObject),
      backlog: backlog.events + status.aside,
      ...(backlog.more === true && { more: true }),
      ...(replayed !== undefined && { replayed: replayed as unknown as JsonObject }),
      ...(jobs.length > 0 && {
        waiting: jobs.map(({ job }) =>
          job.kind === 'replay'
            ? { kind: job.kind, from: job.from, to: job.to, asked: job.asked, sent: job.sent }
            : { kind: job.kind, asked: job.asked, ...(job.ids !== undefined && { ids: job.ids }) },
        ),
      }),
    },
  }
}
