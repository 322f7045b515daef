import type { UserPassword } from './basic-header'
import { isAdminName, isUsername } from './username'

/**
 * What a caller claims to be, before anything is verified.
 *
 *     user : password                     kind            acts in bucket   recorded as
 *     $sys:secret                         account         $sys             $sys
 *     elena:secret                        account         elena            elena
 *     elena:admin#password                admin           elena            admin
 *     elena#lily:lilys_secret             sub             elena)lily       lily
 *     elena#lily:!elenas_secret           proxy           elena)lily       elena
 *     elena#lily:admin#password           sub-admin       elena)lily       admin (of lily)
 *     elena#lily:!admin#password          proxy-admin     elena)lily       admin (of elena)
 *
 * One reading of each: the first `#` of the user half splits account and sub-account, the first `#` of the password
 * half splits an administrator's name from the password (which may contain more of them), a leading `!` is read only
 * where a sub-account is named. Names cannot contain `#`, secrets neither, nor may a secret begin with `!`.
 */
export type Credential =
  | { readonly kind: 'account'; readonly account: string; readonly secret: string }
  | { readonly kind: 'admin'; readonly account: string; readonly admin: string; readonly password: string }
  | {
      readonly kind: 'sub' | 'proxy'
      readonly account: string
      readonly sub: string
      readonly secret: string
    }
  | {
      readonly kind: 'sub-admin' | 'proxy-admin'
      readonly account: string
      readonly sub: string
      readonly admin: string
      readonly password: string
    }

export const SYSTEM_ACCOUNT = '$sys'

/** In bytes, as nothing longer can have been set; what is longer is refused before it is hashed. */
const MAX_PROOF_BYTES = 1024

function isProof(text: string): boolean {
  return text !== '' && text.length <= MAX_PROOF_BYTES && Buffer.byteLength(text) <= MAX_PROOF_BYTES
}

/** A secret as it may stand in a credential: anything else is another form, or none. */
function isSecret(text: string): boolean {
  return isProof(text) && !text.startsWith('!') && !text.includes('#')
}

interface AdminPassword {
  readonly admin: string
  readonly password: string
}

/** undefined: not `name#password`. */
function parseAdminPassword(text: string): AdminPassword | undefined {
  const hash = text.indexOf('#')
  if (hash < 0) return undefined
  const admin = text.slice(0, hash)
  const password = text.slice(hash + 1)
  return isAdminName(admin) && isProof(password) ? { admin, password } : undefined
}

/** undefined: it is none of the forms, whoever it was meant to be. */
export function parseCredential({ user, password }: UserPassword): Credential | undefined {
  const hash = user.indexOf('#')
  if (hash < 0) {
    const account = user
    if (account !== SYSTEM_ACCOUNT && !isUsername(account)) return undefined
    if (password.includes('#')) {
      const admin = parseAdminPassword(password)
      return admin && { kind: 'admin', account, ...admin }
    }
    return isSecret(password) ? { kind: 'account', account, secret: password } : undefined
  }

  const account = user.slice(0, hash)
  const sub = user.slice(hash + 1)
  if (!isUsername(account) || !isUsername(sub)) return undefined
  const onBehalf = password.startsWith('!')
  const proof = onBehalf ? password.slice(1) : password
  if (proof.includes('#')) {
    const admin = parseAdminPassword(proof)
    return admin && { kind: onBehalf ? 'proxy-admin' : 'sub-admin', account, sub, ...admin }
  }
  return isSecret(proof) ? { kind: onBehalf ? 'proxy' : 'sub', account, sub, secret: proof } : undefined
}

export function printCredential(credential: Credential): UserPassword {
  switch (credential.kind) {
    case 'account':
      return { user: credential.account, password: credential.secret }
    case 'admin':
      return { user: credential.account, password: credential.admin + '#' + credential.password }
    case 'sub':
      return { user: credential.account + '#' + credential.sub, password: credential.secret }
    case 'proxy':
      return { user: credential.account + '#' + credential.sub, password: '!' + credential.secret }
    case 'sub-admin':
      return {
        user: credential.account + '#' + credential.sub,
        password: credential.admin + '#' + credential.password,
      }
    case 'proxy-admin':
      return {
        user: credential.account + '#' + credential.sub,
        password: '!' + credential.admin + '#' + credential.password,
      }
    default:
      return credential satisfies never
  }
}
