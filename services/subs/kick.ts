import { z } from 'zod'
import type { TokenKeeper } from '../../auth/token-keeper'
import { Key, Kv4Error } from '../../core'
import { route, type Route } from '../module'
import type { Channel } from './channel'
import type { Cluster } from './cluster/cluster'
import type { Presence } from './presence'
import type { Router } from './router'
import { withoutTopic } from './topic'

export interface KickOptions {
  readonly router: Router
  readonly presence: Presence
  readonly cluster: Pick<Cluster, 'others'>
  readonly tokens: Pick<TokenKeeper, 'revoke'>
}

/** DELETE: contract rest §7. */
export function kick({ router, presence, cluster, tokens }: KickOptions): Route {
  /** How many users had their sockets closed, or have them closed by other nodes. */
  async function kickAt(channel: Channel, user: Key | undefined, by: string): Promise<number> {
    // First of all: clients come back with the same token in 160 ms.
    await tokens.revoke(channel.bucket, channel.path, user, by)
    const kicked = new Set(router.close(channel, user))
    // A socket takes its time to close; who was kicked is not listed any more once this is answered.
    await Promise.all([...kicked].map((each) => presence.leave(channel, each, by)))
    for (const node of cluster.others.keys()) {
      const there =
        user === undefined ? (await presence.usersOf(channel, node)).map(([each]) => each) : [user]
      const gone = await Promise.all(
        there.map(async (each) => ((await presence.kick(channel, node, each, by)) ? [each] : [])),
      )
      for (const each of gone.flat()) kicked.add(each)
    }
    return kicked.size
  }

  return route({
    method: 'DELETE',
    access: 'account',
    summary:
      'Kicks the user `k` (1), or everybody at the channel (how many): closes their sockets and revokes their tokens.',
    input: { query: z.object({ k: z.string().describe('the user').optional() }) },
    async run({ bucket, path, principal, query }) {
      const channel = { bucket: bucket.name, path: withoutTopic(path) }
      const user = query.k === undefined ? undefined : Key.parse(query.k)
      const kicked = await kickAt(channel, user, principal.login)
      if (user !== undefined && kicked === 0) throw new Kv4Error('not_found')
      return kicked
    },
  })
}
