import type { Principal } from '../auth/principal'
import { Kv4Error, Layer } from '../core'

/**
 * The layer that an external service asks for by the token that came with a call: one of those that it registered.
 * undefined: it is not an external service that asks.
 * @throws forbidden
 */
export function tokenLayer(
  { token }: Pick<Principal, 'token'>,
  asked: string | undefined,
): Layer | undefined {
  if (token === undefined) return undefined
  if (token.purpose !== 'service' || asked === undefined || !token.layers.includes(asked))
    throw new Kv4Error('forbidden', { fields: { reason: 'not a layer of this service: name it with `l`' } })
  return Layer.parse(asked)
}
