import { z } from 'zod'
import { Kv4Error } from '../../core'
import { Reply, route } from '../../services/module'
import type { Service } from '../../services/module'

/** Set by a call of `POST /_probe/wait`, resolved by the test. */
export const waiting: { release?: () => void; signal?: AbortSignal } = {}

/** A service that does nothing but show what the adapter hands to one and takes from one. */
export function probe(): Service {
  return {
    name: 'probe',
    prefix: '_probe',
    layers: [{ name: '*probe', kind: 'versioned' }],
    routes: [
      route({
        method: 'GET',
        access: 'account',
        summary: 'Shows the request.',
        input: { query: z.object({ n: z.string().regex(/^\d+$/, 'bad_range').optional() }).loose() },
        async run({ path, query, principal, bucket, ifNoneMatch }) {
          return new Reply(
            {
              path,
              query: query as never,
              login: principal.login,
              bucket: bucket.name,
              ifNoneMatch: ifNoneMatch ?? null,
            },
            { tag: 'v1' },
          )
        },
      }),
      route({
        method: 'PUT',
        access: 'account',
        summary: 'Shows the body.',
        input: { body: z.looseObject({ strict: z.string('is not text').optional() }) },
        async run({ body, ifMatch }) {
          return new Reply({ body: body as never, ifMatch: ifMatch ?? null }, { created: true, next: 'more' })
        },
      }),
      route({ method: 'DELETE', access: 'account', summary: 'Reads no body.', run: async () => 3 }),
      route({
        method: 'POST',
        at: '/wait',
        access: 'account',
        summary: 'Answers when told.',
        run: ({ signal }) =>
          new Promise((resolve) => {
            waiting.signal = signal
            waiting.release = () => resolve('released')
          }),
      }),
      route({ method: 'GET', at: '/open', access: 'public', summary: 'For all.', run: async () => 'open' }),
      route({
        method: 'GET',
        at: '/nosy',
        access: 'public',
        summary: 'Asks who is calling without having to know.',
        run: async ({ principal }) => principal.login,
      }),
      route({
        method: 'GET',
        at: '/holder',
        access: 'holder',
        summary: 'For holders.',
        run: async () => 'h',
      }),
      route({ method: 'GET', at: '/system', access: 'system', summary: 'For $sys.', run: async () => 's' }),
      route({
        method: 'GET',
        at: '/text',
        access: 'public',
        summary: 'A value as text.',
        run: async () => new Reply(null, { text: '{"as":"it is"}' }),
      }),
      route({
        method: 'GET',
        at: '/fail',
        access: 'public',
        summary: 'Fails as it is told.',
        input: { query: z.object({ how: z.string() }) },
        async run({ query: { how } }) {
          if (how === 'bug') throw new TypeError('canary-internal of a bug')
          if (how === 'text') throw 'canary-internal text' // eslint-disable-line @typescript-eslint/only-throw-error
          if (how === 'secret')
            throw new Kv4Error('unauthorized', { fields: { reason: 'canary-internal: no such user' } })
          throw new Kv4Error(how as 'locked', {
            fields: { hint: 'public' },
            detail: 'canary-internal detail',
            ...(how === 'overloaded' ? { retryAfter: 2.2 } : {}),
          })
        },
      }),
    ],
  }
}
