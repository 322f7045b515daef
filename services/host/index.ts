import { ACTIVE_HOSTS } from '../active-hosts'
import type { Service, ServiceContext } from '../module'
import { best } from './best'
import { NodeBeat } from './node-beat'
import { ServiceNames } from './service-names'

/**
 * `_host`: who is there and how busy. Model: layer `*host`, one current entry per node or host of an external service in
 * `$sys`, which lapses unless it is refreshed.
 */
export function host(context: ServiceContext): Service {
  const { engine, node, epoch, onBackgroundError = () => undefined } = context
  const beat = new NodeBeat({ engine, node, epoch, onBackgroundError })
  const names = new ServiceNames(engine)
  return {
    name: 'host',
    prefix: '_host',
    layers: [{ name: ACTIVE_HOSTS.layer, kind: 'current' }],
    routes: [best('GET', context, names), best('PUT', context, names)],
    announce: (listener) => beat.start(listener),
    retire: () => beat.stop(),
  }
}
