import { z } from 'zod'
import { Kv4Error, Key } from '../../core'
import type { Engine, Json, Path } from '../../core'
import { CHANGE_TYPES, watchableLayer } from '../change'
import type { WantedHook } from '../hook'
import { splitVer } from '../ver'
import { STANDARD } from './standard-format'

const DEFAULT_LAYER = '*data'

const Asked = z.strictObject({
  endpoint: z.string('is not a URL'),
  layer: z.string('is not a string').default(DEFAULT_LAYER),
  depth: z.int('is not a whole number').min(0, 'is less than 0').max(64, 'is more than 64').optional(),
  key: z.string('is not a string').optional(),
  prefix: z.string('is not a string').min(1, 'is empty').max(1_024, 'is too long').optional(),
  events: z
    .array(z.enum(CHANGE_TYPES, `is none of ${CHANGE_TYPES.join(', ')}`), 'is not a list')
    .min(1, 'is empty')
    .max(CHANGE_TYPES.length, 'names something twice')
    .optional(),
  values: z.boolean('is neither true nor false').optional(),
  description: z.string('is not a string').max(1_024, 'is too long').optional(),
})

/** What is shown of a hook and cannot be asked for: whoever sends back what he got means no change by it. */
const SHOWN = ['k', 'path', 'id', 'created', 'disabled', 'status', 'secret'] as const

/**
 * What a body's `v` asks for, and the `_ver_` that it names.
 * @throws value_missing; bad_request with the member; bad_layer, bad_layer_prefix, bad_key
 */
export function askedHook(
  engine: Engine,
  path: Path,
  v: Json | undefined,
): { readonly wanted: WantedHook; readonly ver?: Json } {
  if (v === undefined) throw new Kv4Error('value_missing')
  const { value, ver } = splitVer(v)
  const asked: Record<string, unknown> = { ...(value as Record<string, unknown>) }
  for (const name of SHOWN) delete asked[name]
  const parsed = Asked.safeParse(typeof value === 'object' ? asked : value)
  if (!parsed.success) {
    const { path: at, message } = parsed.error.issues[0]!
    throw new Kv4Error('bad_request', { fields: { path: ['body', 'v', ...at].join('.'), reason: message } })
  }
  const { endpoint, layer, depth, key, prefix, events, values, description } = parsed.data
  const wanted: WantedHook = {
    endpoint,
    format: STANDARD,
    path,
    layer: watchableLayer(engine, layer),
    ...(depth !== undefined && { depth }),
    ...(key !== undefined && { key: Key.parse(key) }),
    ...(prefix !== undefined && { prefix }),
    ...(events !== undefined && { events: [...new Set(events)] }),
    ...(values !== undefined && { values }),
    ...(description !== undefined && { description }),
  }
  return ver === undefined ? { wanted } : { wanted, ver }
}
