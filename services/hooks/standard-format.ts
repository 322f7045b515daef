import { changeType, shownChange } from '../change'
import type { HookFormat } from '../hook'
import { eventTime } from './match'

/** The name of what is sent where nobody asks for anything else. */
export const STANDARD = 'standard'
/** A body is shorter than this; of a value that is too large it says that it was left out. */
export const MAX_BODY_BYTES = 256 * 1024

const TYPES = {
  create: 'entry.created',
  update: 'entry.updated',
  delete: 'entry.deleted',
  sample: 'sample.added',
} as const

/** Standard Webhooks 1.0: `{type, timestamp, data}`, signed; `data` is the change as a watch shows it. */
export const standardFormat: HookFormat = {
  name: STANDARD,
  signed: true,
  message(event, { hook: { values = true } }) {
    const write = (withValue: boolean) =>
      JSON.stringify({
        type: TYPES[changeType(event)],
        timestamp: new Date(eventTime(event)).toISOString(),
        data: {
          ...shownChange(event, { values: withValue }),
          ...(values && !withValue && { omitted: ['v'] }),
        },
      })
    let body = write(values)
    if (Buffer.byteLength(body) > MAX_BODY_BYTES) body = write(false)
    return { body, headers: { 'content-type': 'application/json', 'user-agent': 'KV4-Webhooks' } }
  },
}
