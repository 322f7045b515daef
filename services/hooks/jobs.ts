import { randomBytes } from 'node:crypto'
import { Key, Kv4Error, addressIn } from '../../core'
import type { Bucket, Json, Place } from '../../core'
import { HOOK_LAYERS, statePath } from '../hook'
import type { Reached } from './window'

/** That wait for one hook. */
const MAX_JOBS = 10

/** What somebody has asked of the node that delivers, done in the order of asking and then forgotten. */
export type HookJob = ReplayJob | ResendJob

/** Sends what happened between two instants (unix ms, both inclusive) once more. */
export interface ReplayJob {
  readonly kind: 'replay'
  readonly from: number
  readonly to: number
  /** Unix ms. */
  readonly asked: number
  readonly sent: number
  /** Absent: not begun. */
  readonly reached?: Reached
}

/** Tries dead letters again, as if they were new. */
export interface ResendJob {
  readonly kind: 'resend'
  /** `webhook-id`s; absent: all. */
  readonly ids?: readonly string[]
  readonly asked: number
}

export function jobsPlace(hook: string): Place {
  return { layer: HOOK_LAYERS.jobs, path: statePath(hook) }
}

/** @throws limit_reached */
export async function addJob(
  bucket: Bucket,
  hook: string,
  job: HookJob,
  options: { readonly by: string },
): Promise<void> {
  const place = jobsPlace(hook)
  const { items } = await bucket.keys(place, { consistent: true, limit: MAX_JOBS })
  if (items.length >= MAX_JOBS)
    throw new Kv4Error('limit_reached', {
      fields: { reason: `${MAX_JOBS} such requests are waiting; try again when one is done` },
    })
  const key = Key.parse(`${String(job.asked).padStart(15, '0')}-${randomBytes(6).toString('hex')}`)
  await bucket.put(addressIn(place, key), job as unknown as Json, { ...options, expect: 'absent' })
}

/** In the order of asking. */
export async function jobsOf(
  bucket: Bucket,
  hook: string,
  options: { readonly consistent?: boolean } = {},
): Promise<readonly { readonly key: Key; readonly job: HookJob }[]> {
  const { items } = await bucket.entries(jobsPlace(hook), { ...options, limit: 10 * MAX_JOBS })
  return items.map(({ key, version }) => ({ key, job: version.v as unknown as HookJob }))
}
