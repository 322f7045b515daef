import type { Service, ServiceContext } from '../module'
import { LAYER } from './layer'
import { read } from './read'
import { remove } from './remove'
import { write } from './write'

/**
 * `_data`: the user's values, each with all its versions. Layer `*data`, or one of the account's own by `l=`.
 */
export function data({ requireVer = false }: ServiceContext): Service {
  return {
    name: 'data',
    prefix: '_data',
    layers: [{ name: LAYER, kind: 'versioned', watchable: true }],
    routes: [read, write('PUT', requireVer), write('POST', requireVer), remove],
  }
}
