import { isHolder, isSystem } from '../auth/principal'
import type { Principal, PrincipalToken } from '../auth/principal'
import { Kv4Error } from '../core'
import type { Access } from '../services/module'

/** The rules of services/module.ts, each as a question to a principal. */
const RULES: Readonly<Record<Exclude<Access, 'public'>, (principal: Principal) => boolean>> = {
  account: () => true,
  holder: isHolder,
  system: isSystem,
}

/**
 * The one place where access is decided.
 * @param tokens purposes of tokens that let their bearers in
 * @throws unauthorized without a principal, forbidden for one that may not
 */
export function permit(
  access: Access,
  principal: Principal | undefined,
  tokens: readonly PrincipalToken['purpose'][] = [],
): void {
  if (access === 'public') return
  if (principal === undefined) throw new Kv4Error('unauthorized')
  if (principal.token !== undefined) {
    if (!tokens.includes(principal.token.purpose)) throw new Kv4Error('forbidden')
    return
  }
  if (!RULES[access](principal)) throw new Kv4Error('forbidden')
}
