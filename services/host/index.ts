import { ACTIVE_HOSTS } from '../active-hosts'
import type { Service, ServiceContext } from '../module'
import { active } from './active'
import { best } from './best'
import { hostTokens } from './host-tokens'
import { NodeBeat } from './node-beat'
import { Hosts } from './hosts'
import { ServiceNames } from '../service-names'

/**
 * `_host`: who is there and how busy, and the bus on which external services say so. Model: layer `*host`, one current
 * entry per node or host of an external service in `$sys`, which lapses unless it is refreshed.
 */
export function host(context: ServiceContext): Service {
  const { engine, node, epoch, external, tokens, stats, onBackgroundError = () => undefined } = context
  const beat = new NodeBeat({ engine, node, epoch, stats, onBackgroundError })
  const names = new ServiceNames(engine)
  const hosts = new Hosts({ engine, external, names, stats })
  return {
    name: 'host',
    prefix: '_host',
    layers: [{ name: ACTIVE_HOSTS.layer, kind: 'current' }],
    routes: [
      best('GET', context, names),
      best('PUT', context, names),
      ...active(hosts, engine),
      ...hostTokens(tokens),
    ],
    announce: (listener) => beat.start(listener),
    retire: () => beat.stop(),
  }
}
