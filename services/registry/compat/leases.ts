import { isKv4Error } from '../../../core'
import type { Bucket, JsonObject } from '../../../core'
import { heartbeatToken } from '../rules'
import { idIn } from './call'
import { location } from './endpoint'
import type { Endpoint } from './endpoint'
import { Refusal, missing } from './fault'

/** Services or sessions, as far as they are alike. */
interface Leased<Changes> {
  get(bucket: Bucket, id: string): Promise<JsonObject>
  update(bucket: Bucket, by: string, id: string, changes: Changes): Promise<void>
  together(bucket: Bucket, id: string): Promise<void>
  heartbeat(bucket: Bucket, by: string, id: string, token: string): Promise<string>
}

/** How what heartbeats is seen, changed and kept alive, below `/services` or `/sessions`: contract §7, §8. */
export function leaseEndpoints<Changes>(
  kind: 'service' | 'session',
  all: Leased<Changes>,
  isId: (id: string) => boolean,
  changesOf: (body: unknown) => Changes,
): readonly Endpoint[] {
  const at = `/${kind}s`
  const one = `${at}/([^/]+)`
  const idOf = (text: string | undefined) => idIn(text!, `${kind}Id`, isId)
  return [
    {
      method: 'GET',
      path: one,
      at,
      summary: `One ${kind}.`,
      async run(call, { bucket }, [id]) {
        return call.reply(200, await all.get(bucket, idOf(id)))
      },
    },
    {
      method: 'PUT',
      path: one,
      at,
      summary: 'Changes the keys that are given.',
      async run(call, caller, [text]) {
        const id = idOf(text)
        await all.update(caller.bucket, caller.login, id, changesOf(await call.body()))
        return call.reply(204, undefined, [location(call, caller, `${kind}s`, id)])
      },
    },
    {
      method: 'POST',
      path: `${one}/heartbeat`,
      at: `${at}/heartbeat`,
      summary: `The ${kind} lives: the token of the last answer for the next.`,
      // A hundred that are looked at one after the other cost less than a hundred that are looked at as they come.
      async together(bucket, [id]) {
        if (isId(id!)) await all.together(bucket, id!)
      },
      async run(call, { bucket, login }, [text]) {
        const id = idOf(text)
        const sent = heartbeatToken(await call.body())
        try {
          return call.reply(200, { token: await all.heartbeat(bucket, login, id, sent) })
        } catch (error) {
          // A token that is not the one that was given last is a marker that does not exist: contract §7.
          throw isKv4Error(error, 'bad_token') ? new Refusal(missing('HeartbeatMarker', sent)) : error
        }
      },
    },
  ]
}
