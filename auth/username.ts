/**
 * The names that may stand in a credential. They are ASCII without `#`, `:`, `!` and `$`, so a credential has one
 * reading only, and a name never collides with `$sys`.
 */

const USERNAME = /^[A-Za-z][A-Za-z0-9_-]{3,63}$/
const ADMIN_NAME = /^[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}$/

/** Account and sub-account: a letter, then letters, digits, `_`, `-`; 4 to 64 characters (contract, xirsys-rest §6.1). */
export function isUsername(name: string): boolean {
  return USERNAME.test(name)
}

/**
 * Administrator: 1 to 64 letters, digits and `_ . @ + -`, a letter or digit first. Looser than an account's name,
 * because the contract's own example is called `key` and people use their e-mail address.
 */
export function isAdminName(name: string): boolean {
  return ADMIN_NAME.test(name)
}
