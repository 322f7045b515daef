import type { Service, ServiceContext } from '../module'
import { read } from './read'
import { remove } from './remove'
import { write } from './write'

/**
 * `_auth`: addresses and ranges that are denied a path and everything below it, by every service. Model: layer `*auth`,
 * at the path an entry whose key is the address or range in its one spelling; its value is a note. What the server does
 * with them is auth's (auth/bans.ts).
 */
export function auth({ bans }: ServiceContext): Service {
  return {
    name: 'auth',
    prefix: '_auth',
    layers: bans.layers,
    routes: [read(bans), write('PUT', bans), write('POST', bans), remove(bans)],
  }
}
