import { Kv4Error, isKv4Error } from '../core'
import type { Authentication } from './authentication'
import type { Principal, PrincipalToken } from './principal'
import type { TokenHolder, TokenKeeper } from './token-keeper'

const BEARER = /^Bearer[ ]+([A-Za-z0-9._~+/-]+=*)[ ]*$/i

/** Those that stand in an Authorization header; one for the signalling socket does not. */
const PURPOSES = ['service', 'host'] as const satisfies readonly PrincipalToken['purpose'][]

/**
 * Beside credentials, tokens: `Authorization: Bearer <token>`. Who comes with one may call only the routes that say so
 * (`Route.tokens`), and there only what its scope allows.
 */
export function withBearerTokens(basic: Authentication, tokens: Pick<TokenKeeper, 'verify'>): Authentication {
  async function bearerOf(token: string): Promise<Principal> {
    for (const purpose of PURPOSES) {
      try {
        return principalOf(await tokens.verify(purpose, token), purpose)
      } catch (error) {
        if (!isKv4Error(error, 'unauthorized')) throw error
      }
    }
    throw new Kv4Error('unauthorized')
  }
  return {
    authenticate(headers, address) {
      const token = BEARER.exec(headers.authorization ?? '')?.[1]
      return token === undefined ? basic.authenticate(headers, address) : bearerOf(token)
    },
  }
}

function principalOf(
  { account, sub, bucket, login, scope = {} }: TokenHolder,
  purpose: PrincipalToken['purpose'],
): Principal {
  const { prefix, type, layers } = scope
  return Object.freeze({
    account,
    ...(sub !== undefined && { sub }),
    bucket,
    login,
    kind: 'token',
    token: Object.freeze({
      purpose,
      prefix: typeof prefix === 'string' ? prefix : '',
      ...(typeof type === 'string' && { type }),
      layers: Array.isArray(layers) ? layers.filter((layer) => typeof layer === 'string') : [],
    }),
  })
}
