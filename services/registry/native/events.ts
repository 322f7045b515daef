import { z } from 'zod'
import { Kv4Error } from '../../../core'
import type { Json } from '../../../core'
import { Reply, route } from '../../module'
import type { Route } from '../../module'
import { PAGING } from '../../paging'
import { whole } from '../../parameters'
import { EVENT_TYPES } from '../event-log'
import type { EventStart } from '../events'
import type { Registry } from '../registry'

const LIMIT = 100
const MAX_LIMIT = 1_000
const MAX_WAIT_S = 60

/** GET: events at least once, in one order. */
export function events({ events: feed }: Registry): readonly Route[] {
  return [
    route({
      method: 'GET',
      at: '/events',
      access: 'account',
      summary:
        'What happened, oldest first: behind the event `after`, or from `marker` on, or of the last hour; of a `type`; `wait=` seconds (to 60) for the first. `next` is the `after` to go on with. As text/event-stream: for ever.',
      input: {
        query: z.object({
          limit: PAGING.limit,
          after: z.string().optional(),
          marker: z.string().optional(),
          type: z.enum(EVENT_TYPES).optional(),
          wait: whole(0, MAX_WAIT_S).optional(),
        }),
      },
      async run(request) {
        const { bucket, query, wantsEvents, lastEventId } = request
        // Who connects again sends the address that he began with.
        const { type, wait = 0, marker } = query
        const after = lastEventId ?? query.after
        if (marker !== undefined && query.after !== undefined)
          throw new Kv4Error('bad_request', {
            fields: { parameter: 'marker', reason: 'does not go with after' },
          })
        const start: EventStart = after !== undefined ? { after } : marker !== undefined ? { marker } : {}
        if (wantsEvents || wait > 0) request.watches()
        if (wantsEvents) {
          // Refused here rather than in the stream, which has no status any more.
          await feed.page(bucket, start, 1)
          const stream = feed.stream(bucket, start, type, request.signal)
          return new Reply(null, { stream })
        }
        const limit = Math.min(query.limit ?? LIMIT, MAX_LIMIT)
        if (wait > 0) {
          const { events, last } = await feed.await(bucket, start, limit, wait, type, request)
          return answer(events as unknown as readonly Json[], last ?? after)
        }
        const { events } = await feed.page(bucket, start, limit)
        const shown = events.filter((event) => type === undefined || event.type === type)
        return answer(shown as unknown as readonly Json[], events.at(-1)?.id ?? after)
      },
    }),
  ]
}

function answer(events: readonly Json[], next: string | undefined): Json | Reply {
  return next === undefined ? events : new Reply(events, { next })
}
