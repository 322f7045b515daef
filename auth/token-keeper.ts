import { randomUUID } from 'node:crypto'
import { SignJWT, errors, jwtVerify } from 'jose'
import type { JWTPayload } from 'jose'
import { BucketName, Key, Kv4Error, Path, isJsonObject, isKv4Error } from '../core'
import type { Engine, JsonObject, LayerDeclaration } from '../core'
import { mayLogIn } from './account'
import { accountLink, subLink } from './authenticator'
import type { Pepper } from './pepper'
import type { Principal } from './principal'
import { TokenKeys } from './token-keys'
import { TOKEN_LAYERS, TokenRevocations, tokenUser } from './token-revocations'
import { readGround } from './verify-cache'

/** What a token is for; one of another purpose is no token. */
export const TOKEN_PURPOSES = ['signal', 'host', 'service'] as const
export type TokenPurpose = (typeof TOKEN_PURPOSES)[number]

/** What a token says. */
export interface TokenGrant {
  /** Whoever asks for it: the token acts in his bucket and is recorded as his login. */
  readonly principal: Pick<Principal, 'account' | 'sub' | 'bucket' | 'login'>
  /** Good at this path only; absent: everywhere (universal). */
  readonly path?: Path
  /** Absent: a random one. */
  readonly user?: string
  /** What else the purpose needs to know; small, as it travels in the token. */
  readonly scope?: JsonObject
}

/** A token that was found good. */
export interface TokenHolder {
  /** `$sys` or the primary account's name. */
  readonly account: string
  readonly sub?: string
  readonly bucket: BucketName
  /** undefined: universal. */
  readonly path: Path | undefined
  readonly user: Key
  readonly login: string
  readonly scope?: JsonObject
  /** Unix ms. */
  readonly issuedAt: number
  /** Unix ms; absent: never. */
  readonly expiresAt?: number
}

/** A key as an operator may see it. */
export interface TokenKeyInfo {
  readonly id: string
  /** Unix ms. */
  readonly created: number
}

/**
 * Issues, verifies and revokes tokens. A token is a JWT: HS256 under one of the keys in `$sys` (token-keys.ts), so its
 * characters are `A-Z a-z 0-9 - _ .` and it stands in a URL as it is. It can be used any number of times until it expires,
 * is revoked, or its account is deactivated or deleted; it says nothing that could not be shown to its bearer.
 */
export interface TokenKeeper {
  /** For the service that declares them. */
  readonly layers: readonly LayerDeclaration[]
  /**
   * @param seconds how long it can be used, whole; 0: it never expires
   * @throws bad_key for a user that no token can name
   */
  issue(purpose: TokenPurpose, grant: TokenGrant, seconds: number): Promise<string>
  /**
   * @param at the path that its bearer wants to be at: a token for another path is refused, a universal one is refused
   *   where its user was revoked; absent: the token's own
   * @throws unauthorized, whatever is wrong with it; store_unavailable
   */
  verify(purpose: TokenPurpose, text: string, at?: Path): Promise<TokenHolder>
  /**
   * Ends the tokens for a path (undefined: universal ones) that were issued until now, those of one user or of all.
   * On this node at once, on others with the feed.
   */
  revoke(bucket: BucketName, path: Path | undefined, user: string | undefined, by: string): Promise<void>
  /** Ends every token of the bucket. */
  revokeAll(bucket: BucketName, by: string): Promise<void>
  /** Newest first: the first one signs. */
  keys(): Promise<readonly TokenKeyInfo[]>
  /** Makes the key that signs from now on; `retire`: tokens signed with any other end. */
  rotate(by: string, options?: { readonly retire?: boolean }): Promise<TokenKeyInfo>
}

export interface TokenKeeperOptions {
  readonly engine: Engine
  readonly pepper: Pepper
  /** Unix ms; for tests. Default Date.now. */
  readonly clock?: () => number
}

export function createTokenKeeper({ engine, pepper, clock = Date.now }: TokenKeeperOptions): TokenKeeper {
  return new JwtKeeper(engine, new TokenKeys(engine, pepper, clock), clock)
}

const ALGORITHM = 'HS256'
const MAX_LENGTH = 8_192

/**
 *     {alg: HS256, kid}
 *     {aud: purpose, iat, exp?, acc, sub?, loc?: path, usr, by: login, epo, scp?}      iat in seconds with fractions
 */
interface Claims extends JWTPayload {
  readonly iat: number
  readonly acc: string
  readonly loc?: string
  readonly usr: string
  readonly by: string
  /** Names the epoch of its bucket (token-revocations.ts). */
  readonly epo: string
  readonly scp?: JsonObject
}

class JwtKeeper implements TokenKeeper {
  readonly layers = TOKEN_LAYERS
  readonly #engine: Engine
  readonly #keys: TokenKeys
  readonly #revocations: TokenRevocations
  readonly #clock: () => number

  constructor(engine: Engine, keys: TokenKeys, clock: () => number) {
    this.#engine = engine
    this.#keys = keys
    this.#revocations = new TokenRevocations(engine, clock)
    this.#clock = clock
  }

  async issue(purpose: TokenPurpose, grant: TokenGrant, seconds: number): Promise<string> {
    const { account, sub, bucket, login } = grant.principal
    const user = tokenUser(grant.user ?? randomUUID())
    const now = this.#clock()
    const expires = seconds === 0 ? null : now + seconds * 1000
    const key = await this.#keys.current()
    const epoch = await this.#revocations.epoch(bucket, login)
    await this.#revocations.expect(bucket, grant.path ?? Path.root, user, expires, login)
    const claims: Claims = {
      aud: purpose,
      iat: now / 1000,
      ...(expires !== null && { exp: expires / 1000 }),
      acc: account,
      ...(sub !== undefined && { sub }),
      ...(grant.path !== undefined && { loc: grant.path }),
      usr: user,
      by: login,
      epo: epoch,
      ...(grant.scope !== undefined && { scp: grant.scope }),
    }
    return new SignJWT(claims).setProtectedHeader({ alg: ALGORITHM, kid: key.id }).sign(key.secret)
  }

  async verify(purpose: TokenPurpose, text: string, at?: Path): Promise<TokenHolder> {
    const { claims, holder } = await this.#read(purpose, text)
    const path = holder.path ?? at ?? Path.root
    if (at !== undefined && path !== at) throw refusal('for another path')
    if (!(await this.#isActive(holder))) throw refusal('its account is not active')
    const { user, issuedAt } = holder
    const places = holder.path === undefined && path !== Path.root ? [Path.root, path] : [path]
    for (const place of places) {
      const token = { path: place, user, issuedAt, epoch: claims.epo }
      if (await this.#isRevoked(holder.bucket, token)) throw refusal('revoked')
    }
    return holder
  }

  async revoke(
    bucket: BucketName,
    path: Path | undefined,
    user: string | undefined,
    by: string,
  ): Promise<void> {
    if (user === undefined) await this.#revocations.revokePath(bucket, path ?? Path.root, by)
    else await this.#revocations.revokeUser(bucket, path ?? Path.root, tokenUser(user), by)
  }

  async revokeAll(bucket: BucketName, by: string): Promise<void> {
    await this.#revocations.revokeAll(bucket, by)
  }

  async keys(): Promise<readonly TokenKeyInfo[]> {
    return (await this.#keys.list({ consistent: true })).map(info)
  }

  async rotate(by: string, { retire = false } = {}): Promise<TokenKeyInfo> {
    const key = await this.#keys.add(by)
    if (retire) {
      const others = await this.#keys.list({ consistent: true })
      await this.#keys.retire(
        others.filter(({ id }) => id !== key.id),
        by,
      )
    }
    return info(key)
  }

  async #read(purpose: TokenPurpose, text: string): Promise<{ claims: Claims; holder: TokenHolder }> {
    if (text.length > MAX_LENGTH) throw refusal('too long')
    try {
      const { payload } = await jwtVerify(
        text,
        async ({ kid }) => {
          const key = kid === undefined ? undefined : await this.#keys.find(kid)
          if (key === undefined) throw refusal('an unknown key')
          return key.secret
        },
        {
          algorithms: [ALGORITHM],
          audience: purpose,
          currentDate: new Date(this.#clock()),
          requiredClaims: ['iat', 'acc', 'usr', 'by', 'epo'],
        },
      )
      const claims = payload as Claims
      // The library counts in whole seconds.
      if (claims.exp !== undefined && claims.exp * 1000 <= this.#clock()) throw refusal('expired')
      return { claims, holder: holderOf(claims) }
    } catch (error) {
      if (error instanceof errors.JOSEError) throw refusal(error.code, error)
      throw error
    }
  }

  async #isActive({ account, sub }: TokenHolder): Promise<boolean> {
    const chain = [accountLink(account), ...(sub === undefined ? [] : [subLink(account, sub)])]
    for (const { bucket, address } of chain)
      if (!mayLogIn(await readGround(this.#engine, bucket, address))) return false
    return true
  }

  async #isRevoked(
    bucket: BucketName,
    token: Parameters<TokenRevocations['isRevoked']>[1],
  ): Promise<boolean> {
    try {
      return await this.#revocations.isRevoked(bucket, token)
    } catch (error) {
      if (isKv4Error(error, 'bucket_not_found')) return true
      throw error
    }
  }
}

function info({ id, created }: TokenKeyInfo): TokenKeyInfo {
  return { id, created }
}

function holderOf({ acc, sub, loc, usr, by, scp, iat, exp }: Claims): TokenHolder {
  return {
    account: acc,
    ...(sub !== undefined && { sub }),
    bucket: acc === '$sys' && sub === undefined ? BucketName.system : BucketName.of(acc, sub),
    path: loc === undefined ? undefined : Path.parse(loc),
    user: Key.parse(usr),
    login: by,
    ...(isJsonObject(scp) && { scope: scp }),
    issuedAt: Math.round(iat * 1000),
    ...(exp !== undefined && { expiresAt: Math.round(exp * 1000) }),
  }
}

/** One answer for every failure. */
function refusal(detail: string, cause?: unknown): Kv4Error {
  return new Kv4Error('unauthorized', { detail: `token: ${detail}`, cause })
}
