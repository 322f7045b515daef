import type { Service, ServiceContext } from '../module'
import { create } from './create'
import { keys } from './keys'
import { revoke } from './revoke'
import { rotate } from './rotate'

/**
 * `_token`: what a browser gets in its hand instead of the account's secret. Model: a token is signed, not stored; what
 * ends one before its time, and the keys, auth keeps in layers that nobody can name.
 */
export function token({ tokens }: ServiceContext): Service {
  return {
    name: 'token',
    prefix: '_token',
    layers: tokens.layers,
    routes: [create(tokens), revoke(tokens), keys(tokens), rotate(tokens)],
  }
}
