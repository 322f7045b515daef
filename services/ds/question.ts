import { z } from 'zod'
import { Kv4Error, Layer } from '../../core'
import { PAGING } from '../paging'

/** What can be asked for: the layers of the account, the paths of a layer, the keys of a layer at a path. */
export const SUBJECTS = ['layers', 'paths', 'keys'] as const

export const Question = z.object({
  ...PAGING,
  a: z.enum(SUBJECTS).default('layers'),
  l: z.string().optional(),
})
export type Question = z.output<typeof Question>

/** @throws bad_request without one, bad_layer also for the engine's own layers, which nobody can name */
export function askedLayer({ a, l }: Question): Layer {
  if (l === undefined)
    throw new Kv4Error('bad_request', { fields: { parameter: 'l', reason: `a=${a} needs a layer` } })
  return Layer.parse(l)
}
