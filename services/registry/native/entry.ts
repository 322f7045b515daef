import { z } from 'zod'
import { Kv4Error } from '../../../core'

/** A body in the platform's own form: `{k, v}`. */
export const EntryBody = z.object({ k: z.string('key_missing').optional(), v: z.unknown().optional() })
export type EntryBody = z.output<typeof EntryBody>

/** @throws key_missing */
export function keyOf({ k }: { readonly k?: string | undefined }): string {
  if (k === undefined) throw new Kv4Error('key_missing')
  return k
}

/** An object. @throws value_missing */
export function valueOf({ v }: EntryBody): Readonly<Record<string, unknown>> {
  if (typeof v !== 'object' || v === null || Array.isArray(v)) throw new Kv4Error('value_missing')
  return v as Readonly<Record<string, unknown>>
}

/** What the body says of the thing called `k`. @throws value_missing */
export function described(body: EntryBody): Readonly<Record<string, unknown>> {
  return { ...valueOf(body), ...(body.k !== undefined && { id: body.k }) }
}
