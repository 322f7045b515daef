import { isHolder, isSystem } from '../auth/principal'
import type { Principal } from '../auth/principal'
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
 * @throws unauthorized without a principal, forbidden for one that may not
 */
export function permit(access: Access, principal: Principal | undefined): void {
  if (access === 'public') return
  if (principal === undefined) throw new Kv4Error('unauthorized')
  if (!RULES[access](principal)) throw new Kv4Error('forbidden')
}
