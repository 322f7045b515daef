import type { Service, ServiceContext } from '../module'
import { configuration } from './native/configuration'
import { events } from './native/events'
import { limits } from './native/limits'
import { services } from './native/services'
import { sessions } from './native/sessions'
import { CONFIGURATION_LAYERS, LEASE_LAYERS } from './places'
import { Registry } from './registry'

export { registryMount } from './compat/mount'

/**
 * `_reg`: who lives. Services and sessions that heartbeat, and the feed of what happened to them and to the
 * configuration. Model: layer `*reg`, one current entry per lease; `*reg:events`, the feed.
 */
export function reg(context: ServiceContext): Service {
  const registry = Registry.of(context)
  return {
    name: 'reg',
    prefix: '_reg',
    layers: LEASE_LAYERS,
    routes: [...services(registry), ...sessions(registry), ...events(registry), ...limits(registry)],
    start: () => registry.start(),
    stop: () => registry.stop(),
  }
}

/** `_conf`: configuration values in namespaces, with their history. Model: layer `*conf`, the key is the whole id. */
export function conf(context: ServiceContext): Service {
  return {
    name: 'conf',
    prefix: '_conf',
    layers: CONFIGURATION_LAYERS,
    routes: configuration(Registry.of(context)),
  }
}
