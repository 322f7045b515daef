/** Who is asking: the one door for the server; services import its types only. */
export type {
  AccountProfile,
  AdminProfile,
  Profile,
  Proof,
  StoredAccount,
  StoredAdmin,
  StoredLogin,
  StoredSecret,
} from './account'
export { createAccountEnds } from './account-ends'
export type { AccountEnds, AccountHold } from './account-ends'
export { createAuthentication } from './authentication'
export { createBanEnds } from './ban-ends'
export type { BanEnds } from './ban-ends'
export { createBans } from './bans'
export type { Ban, Bans } from './bans'
export type { Authentication, AuthenticationOptions, CredentialHeaders } from './authentication'
export { withBearerTokens } from './bearer'
export { printBasicHeader } from './basic-header'
export { ClusterKey } from './cluster-key'
export type { NodeClaim } from './cluster-key'
export { createCredentialEnds } from './credential-ends'
export type { CredentialEnds } from './credential-ends'
export { printCredential } from './credential'
export type { Credential } from './credential'
export { createKeepers } from './keepers'
export type { Keepers, KeepersOptions, LoginKeepers } from './keepers'
export { Pepper } from './pepper'
export type { LoginPlaces } from './places'
export { isHolder, isSystem } from './principal'
export type { Principal, PrincipalToken } from './principal'
export { CHALLENGE, StrictBasicStrategy, basicAuthentication } from './strategies'
export { ensureSystemAccount } from './system-account'
export type { SystemAccount } from './system-account'
export type { ThrottleOptions } from './throttle'
export { TOKEN_PURPOSES, createTokenKeeper } from './token-keeper'
export type {
  TokenGrant,
  TokenHolder,
  TokenKeeper,
  TokenKeeperOptions,
  TokenKeyInfo,
  TokenPurpose,
} from './token-keeper'
