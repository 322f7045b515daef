import { randomBytes } from 'node:crypto'
import { Key, Kv4Error, Layer, Path, isJsonObject, isKv4Error } from '../core'
import type { Address, Bucket, BucketName, Engine, JsonObject, LayerDeclaration, Version } from '../core'

/**
 * What ends tokens before their time, in the bucket that they are for and out of every listing:
 *
 *   ^token-epoch   /       epoch   {id}                a token names it; another one ends all tokens of the bucket
 *   ^token-ends    <path>  all     {before}            ends those for the path that were issued before
 *   ^token-users   <path>  <user>  {before?, until?}   ends those of the user at the path that were issued before
 *
 * A token without a path is looked for at the root. An entry of a user need not outlive the tokens that it ends: it
 * lapses after a day, which most tokens do not live, unless `until` tells of one that lives longer (null: for ever);
 * that is noted when such a token is issued.
 */
const EPOCH = { layer: Layer.internal('token-epoch'), path: Path.root, key: Key.parse('epoch') } as const
const ENDS = Layer.internal('token-ends')
const USERS = Layer.internal('token-users')
const ALL = Key.parse('all')

const SHORT_MS = 24 * 3600_000

export const TOKEN_LAYERS: readonly LayerDeclaration[] = [
  { name: EPOCH.layer, kind: 'current' },
  { name: ENDS, kind: 'current' },
  { name: USERS, kind: 'current' },
]

/** What of a token decides whether it was revoked. */
export interface Revocable {
  readonly path: Path
  readonly user: Key
  /** Unix ms. */
  readonly issuedAt: number
  readonly epoch: string
}

export class TokenRevocations {
  constructor(
    private readonly engine: Engine,
    private readonly clock: () => number,
  ) {}

  /** What tokens that are issued now have to name; made with the first of them. */
  async epoch(name: BucketName, by: string): Promise<string> {
    const bucket = this.engine.bucket(name)
    for (;;) {
      const current = member((await bucket.get(EPOCH))?.v, 'id')
      if (typeof current === 'string') return current
      try {
        await bucket.put(EPOCH, newEpoch(), { by, expect: 'absent' })
      } catch (error) {
        // Another request, or another node, has made it.
        if (!isKv4Error(error, 'version_conflict')) throw error
        await bucket.get(EPOCH, { consistent: true })
      }
    }
  }

  /** Notes that a token is issued that a revocation may have to outlive. @param until unix ms; null: it never expires */
  async expect(name: BucketName, path: Path, user: Key, until: number | null, by: string): Promise<void> {
    if (until !== null && until <= this.clock() + SHORT_MS) return
    await this.#change(this.engine.bucket(name), { layer: USERS, path, key: user }, by, (current) => {
      const known = current?.until
      return known === null || (typeof known === 'number' && until !== null && known >= until)
        ? undefined
        : { ...current, until }
    })
  }

  /** Whether the token has ended. @throws bucket_not_found: with everything else */
  async isRevoked(name: BucketName, { path, user, issuedAt, epoch }: Revocable): Promise<boolean> {
    const bucket = this.engine.bucket(name)
    const present = (await bucket.get(EPOCH)) ?? (await bucket.get(EPOCH, { consistent: true }))
    if (member(present?.v, 'id') !== epoch) return true
    const ends = member((await bucket.get({ layer: ENDS, path, key: ALL }))?.v, 'before')
    if (typeof ends === 'number' && issuedAt <= ends) return true
    const users = member((await bucket.get({ layer: USERS, path, key: user }))?.v, 'before')
    return typeof users === 'number' && issuedAt <= users
  }

  async revokeUser(name: BucketName, path: Path, user: Key, by: string): Promise<void> {
    const before = this.clock()
    await this.#change(this.engine.bucket(name), { layer: USERS, path, key: user }, by, (current) => ({
      ...current,
      before,
    }))
  }

  async revokePath(name: BucketName, path: Path, by: string): Promise<void> {
    await this.engine.bucket(name).put({ layer: ENDS, path, key: ALL }, { before: this.clock() }, { by })
  }

  async revokeAll(name: BucketName, by: string): Promise<void> {
    await this.engine.bucket(name).put(EPOCH, newEpoch(), { by })
  }

  /** @param change undefined: leave it as it is */
  async #change(
    bucket: Bucket,
    address: Address,
    by: string,
    change: (current: JsonObject | undefined) => JsonObject | undefined,
  ): Promise<void> {
    let consistent = false
    for (;;) {
      const current: Version | undefined = await bucket.get(address, { consistent })
      const value = change(isJsonObject(current?.v) ? current.v : undefined)
      if (value === undefined) return
      const { until } = value
      const ttl = typeof until === 'number' ? Math.max(SHORT_MS, until - this.clock()) : SHORT_MS
      try {
        await bucket.put(address, value, {
          by,
          expect: current === undefined ? 'absent' : { n: current.n },
          ...(until !== null && { ttl }),
        })
        return
      } catch (error) {
        if (!isKv4Error(error, 'version_conflict')) throw error
        consistent = true
      }
    }
  }
}

function newEpoch(): JsonObject {
  return { id: randomBytes(6).toString('base64url') }
}

function member(value: Version['v'] | undefined, name: string): unknown {
  return isJsonObject(value) ? value[name] : undefined
}

/** A user as a token may name him: clients read him as the last segment of a path, and the system is one too. */
export function tokenUser(text: string): Key {
  const user = Key.parse(text)
  if (user.includes('/') || user === '__sys__')
    throw new Kv4Error('bad_key', { fields: { reason: 'a user name contains no `/` and is not `__sys__`' } })
  return user
}
