import type { Service, ServiceContext } from '../module'
import { NodeCluster } from './cluster/node-cluster'
import { kick } from './kick'
import { PRESENCE } from './layer'
import { list } from './list'
import { Presence } from './presence'
import { Router } from './router'
import { signal } from './signal'
import { SubscriptionReader } from './subscriptions'

/**
 * `_subs`: signalling. Rooms are channels (paths) that users meet at by websocket; over HTTP one can see who is there and
 * send them away. Layers: `*subs:<node>`, one entry for each user connected to that node, at the channel's path.
 */
export function subs(context: ServiceContext): Service {
  const { engine, node, epoch, tokens, bans, banEnds, accountEnds, watches, stats } = context
  const onBackgroundError = context.onBackgroundError ?? (() => undefined)
  const cluster = new NodeCluster({
    engine,
    node,
    epoch,
    key: context.cluster,
    dial: context.dial,
    onBackgroundError,
  })
  const presence = new Presence({ engine, node, epoch, onBackgroundError, clock: Date.now })
  const router = new Router({ presence, cluster, onBackgroundError })
  const reader = new SubscriptionReader({ node, epoch, cluster })
  return {
    name: 'subs',
    prefix: '_subs',
    layers: [{ name: PRESENCE.family, kind: 'current' }],
    routes: [list(reader), kick({ router, presence, cluster, tokens })],
    sockets: [
      signal({
        router,
        tokens,
        bans,
        banEnds,
        accountEnds,
        watches,
        count: ({ bucket, path }, measurement, user, value) =>
          stats.record(bucket, path, measurement, user, value),
        onBackgroundError,
      }),
      cluster.route,
    ],
    start: () => router.start(),
    stop: () => router.stop(),
  }
}
