import { BucketName, Key, addressIn } from '../core'
import type { Address, Engine, Json, Version } from '../core'
import { isKv4Error } from '../core'
import { mayLogIn, storedLogin } from './account'
import type { Credential } from './credential'
import { SYSTEM_ACCOUNT } from './credential'
import { ensureBucket } from './ensure-bucket'
import type { Keepers } from './keepers'
import { PLACES } from './places'
import type { Principal } from './principal'
import { SYSTEM_ADDRESS } from './system-account'
import type { Ground, Verified } from './verify-cache'
import { readGround } from './verify-cache'

/** An entry that a login depends on, not read yet. */
export interface Link {
  readonly bucket: BucketName
  readonly address: Address
}

/** How a credential is to be verified. */
export interface Claim {
  readonly principal: Principal
  /** All have to be active, from the primary down. */
  readonly chain: readonly Link[]
  /** Which of `chain` the proof is checked against. */
  readonly prover: number
  readonly proof: { readonly kind: 'secret' | 'admin'; readonly text: string }
  /** Whose secret, or whose administrators. */
  readonly owner: BucketName
}

export function accountLink(account: string): Link {
  return account === SYSTEM_ACCOUNT
    ? { bucket: BucketName.system, address: SYSTEM_ADDRESS }
    : { bucket: BucketName.system, address: addressIn(PLACES.accounts, Key.parse(account)) }
}

export function subLink(account: string, sub: string): Link {
  return { bucket: BucketName.of(account), address: addressIn(PLACES.accounts, Key.parse(sub)) }
}

function adminLink(bucket: BucketName, admin: string): Link {
  return { bucket, address: addressIn(PLACES.admins, Key.parse(admin)) }
}

/** Which bucket, which login, which entries: decided by the credential alone. */
function claimOf(credential: Credential): Claim {
  const { account } = credential
  const primary = account === SYSTEM_ACCOUNT ? BucketName.system : BucketName.of(account)
  const base = accountLink(account)
  const claim = (
    principal: Omit<Principal, 'account'>,
    chain: readonly Link[],
    prover: number,
    proof: Claim['proof'],
    owner: BucketName,
  ): Claim => ({
    principal: Object.freeze({ account, ...principal }),
    chain,
    prover,
    proof,
    owner,
  })

  switch (credential.kind) {
    case 'account': {
      const proof = { kind: 'secret', text: credential.secret } as const
      return claim({ bucket: primary, login: account, kind: 'account' }, [base], 0, proof, primary)
    }
    case 'admin': {
      const { admin, password } = credential
      const chain = [base, adminLink(primary, admin)]
      const proof = { kind: 'admin', text: password } as const
      return claim({ bucket: primary, login: admin, kind: 'admin' }, chain, 1, proof, primary)
    }
    case 'sub':
    case 'proxy': {
      const { sub, kind } = credential
      const bucket = BucketName.of(account, sub)
      const chain = [base, subLink(account, sub)]
      const proof = { kind: 'secret', text: credential.secret } as const
      return kind === 'sub'
        ? claim({ sub, bucket, login: sub, kind }, chain, 1, proof, bucket)
        : claim({ sub, bucket, login: account, kind }, chain, 0, proof, primary)
    }
    case 'sub-admin':
    case 'proxy-admin': {
      const { sub, admin, password } = credential
      const bucket = BucketName.of(account, sub)
      const owner = credential.kind === 'sub-admin' ? bucket : primary
      const chain = [base, subLink(account, sub), adminLink(owner, admin)]
      const proof = { kind: 'admin', text: password } as const
      return claim({ sub, bucket, login: admin, kind: 'admin' }, chain, 2, proof, owner)
    }
    default:
      return credential satisfies never
  }
}

export interface AuthenticatorOptions {
  readonly engine: Engine
  readonly keepers: Keepers
  /** Told when a password could not be hashed anew at today's cost; the login went well. */
  readonly onBackgroundError: (error: unknown) => void
}

/** Verifies credentials against what the engine holds. Knows neither headers nor throttling. */
export class Authenticator {
  readonly #engine: Engine
  readonly #keepers: Keepers
  readonly #onBackgroundError: (error: unknown) => void

  constructor({ engine, keepers, onBackgroundError }: AuthenticatorOptions) {
    this.#engine = engine
    this.#keepers = keepers
    this.#onBackgroundError = onBackgroundError
  }

  /** undefined: no bucket can belong to such names. */
  claim(credential: Credential): Claim | undefined {
    try {
      return claimOf(credential)
    } catch (error) {
      // Each name is well formed, both together are longer than a bucket's name may be.
      if (isKv4Error(error, 'bad_bucket_name')) return undefined
      throw error
    }
  }

  /**
   * undefined: not so, for whatever reason; it takes as long as a success does. @throws overloaded, store_unavailable
   */
  async verify(claim: Claim): Promise<Verified | undefined> {
    const versions = await this.#read(claim.chain)
    const prover = versions[claim.prover]
    const proof =
      claim.proof.kind === 'secret'
        ? await this.#matchSecret(claim, prover)
        : await this.#matchPassword(claim, prover)
    // Only after the hashing, so that time does not tell an inactive account from one that is not there.
    if (proof === undefined || !versions.every(mayLogIn)) return undefined

    const grounds = claim.chain.map((link, i): Ground => ({
      ...link,
      version: versions[i]!,
      ...(i === claim.prover ? { proof: proof.hash } : {}),
    }))
    const isStillThere = async () => {
      const again = await this.#read(claim.chain, { consistent: true })
      return again.every((version, i) => mayLogIn(version) && version!.n === versions[i]!.n)
    }
    if (!(await ensureBucket(this.#engine, claim.principal.bucket, isStillThere))) return undefined
    return {
      principal: claim.principal,
      grounds,
      ...(proof.until === undefined ? {} : { until: proof.until }),
    }
  }

  /** As far down as there are entries. */
  async #read(
    chain: readonly Link[],
    options?: { readonly consistent: boolean },
  ): Promise<readonly (Version | undefined)[]> {
    const versions: (Version | undefined)[] = []
    for (const { bucket, address } of chain) {
      const above = versions.at(-1)
      const missing = versions.length > 0 && above === undefined
      // The buckets below a name that is not there are not looked for.
      versions.push(missing ? undefined : await readGround(this.#engine, bucket, address, options))
    }
    return versions
  }

  async #matchSecret(
    claim: Claim,
    version: Version | undefined,
  ): Promise<{ readonly hash: string; readonly until?: number } | undefined> {
    const stored = storedLogin(version?.v)?.proof.secrets ?? []
    return this.#keepers.secrets.match(claim.owner, claim.proof.text, stored, Date.now())
  }

  async #matchPassword(
    claim: Claim,
    version: Version | undefined,
  ): Promise<{ readonly hash: string; readonly until?: number } | undefined> {
    const hash = storedLogin(version?.v)?.proof.password
    const { matches, outdated } = await this.#keepers.passwords.check(claim.proof.text, hash)
    if (!matches) return undefined
    if (outdated) this.#renew(claim, version!).catch(this.#onBackgroundError)
    return { hash: hash! }
  }

  /** Hashes the password anew at today's cost. Who logs in does not wait for it. */
  async #renew(claim: Claim, version: Version): Promise<void> {
    const { bucket, address } = claim.chain[claim.prover]!
    const login = storedLogin(version.v)!
    const password = await this.#keepers.passwords.hashAnything(claim.proof.text)
    try {
      await this.#engine
        .bucket(bucket)
        .put(address, { ...login, proof: { ...login.proof, password } } as unknown as Json, {
          by: claim.principal.login,
          expect: { n: version.n },
        })
    } catch (error) {
      // Somebody changed the entry meanwhile: the next login tries again.
      if (!isKv4Error(error, 'version_conflict')) throw error
    }
  }
}
