import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StoredLogin } from '../../auth'
import {
  createAuthentication,
  createKeepers,
  ensureSystemAccount,
  printBasicHeader,
  type Authentication,
  type AuthenticationOptions,
  type Keepers,
  type Principal,
} from '../../auth'
import { BucketName, Key, isKv4Error, type Engine, type Json } from '../../core'
import { createEngine } from '../../core/kv4/engine'
import { openEmbeddedStore } from '../../core/store/embedded'

export const CHEAP = { ln: 4, r: 8, p: 1 }

/** An engine on a store of its own, with the system account, and whoever a test invites. */
export interface World {
  readonly engine: Engine
  readonly keepers: Keepers
  readonly systemSecret: string
  authentication(options?: Partial<AuthenticationOptions>): Authentication
  /** Makes a primary account, or with `sub` its sub-account; answers its secret. */
  account(name: string, sub?: string): Promise<string>
  admin(bucket: BucketName, name: string, password: string): Promise<void>
  /** Rewrites an entry's value: of an account, or with `admin` of an administrator in the bucket. */
  change(of: WhoseEntry, change: (login: StoredLogin) => StoredLogin): Promise<void>
  remove(of: WhoseEntry): Promise<void>
  close(): Promise<void>
}

export interface WhoseEntry {
  readonly account: string
  readonly sub?: string
  readonly admin?: string
}

export async function makeWorld(): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'kv4-auth-'))
  const fail = (error: unknown): never => {
    throw error
  }
  const engine = createEngine({
    store: await openEmbeddedStore({ directory, onFatal: fail }),
  })
  const keepers = createKeepers({ pepper: 'a pepper for the tests, long enough', scrypt: CHEAP })
  const { generated } = await ensureSystemAccount(engine, keepers)
  const { places, secrets, passwords } = keepers

  const bucketOf = ({ account, sub }: WhoseEntry): BucketName =>
    account === '$sys' ? BucketName.system : BucketName.of(account, sub)
  const entryOf = (of: WhoseEntry) =>
    of.admin !== undefined
      ? { bucket: bucketOf(of), address: { ...places.admins, key: Key.parse(of.admin) } }
      : of.sub !== undefined
        ? { bucket: BucketName.of(of.account), address: { ...places.accounts, key: Key.parse(of.sub) } }
        : {
            bucket: BucketName.system,
            address: {
              ...(of.account === '$sys' ? places.system : places.accounts),
              key: Key.parse(of.account),
            },
          }
  const put = async (of: WhoseEntry, login: StoredLogin): Promise<void> => {
    const { bucket, address } = entryOf(of)
    await engine.bucket(bucket).put(address, login as unknown as Json, { by: 'test' })
  }
  const profile = { created: 1, active: true }

  return {
    engine,
    keepers,
    systemSecret: generated!,
    authentication: (options) =>
      createAuthentication({ engine, keepers, onBackgroundError: fail, ...options }),
    async account(name, sub) {
      const of = { account: name, ...(sub !== undefined && { sub }) }
      const { secret, stored } = secrets.generate(bucketOf(of))
      await put(of, { profile, proof: { secrets: [stored] } })
      await engine.create(bucketOf(of))
      return secret
    },
    async admin(bucket, name, password) {
      const address = { ...places.admins, key: Key.parse(name) }
      const login: StoredLogin = { profile, proof: { password: await passwords.hash(password) } }
      await engine.bucket(bucket).put(address, login as unknown as Json, { by: 'test' })
    },
    async change(of, change) {
      const { bucket, address } = entryOf(of)
      await engine
        .bucket(bucket)
        .modify(address, (version) => change(version!.v as unknown as StoredLogin) as unknown as Json, {
          by: 'test',
        })
    },
    async remove(of) {
      const { bucket, address } = entryOf(of)
      await engine.bucket(bucket).remove(address, { by: 'test' })
    },
    async close() {
      await engine.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** What a login comes to: `bucket as login` or the code of the error. */
export async function tryLogin(
  authentication: Authentication,
  user: string,
  password: string,
  address: string | undefined = '192.0.2.1',
): Promise<string> {
  try {
    const principal: Principal = await authentication.authenticate(
      { authorization: printBasicHeader({ user, password }) },
      address,
    )
    return `${principal.bucket} as ${principal.login}`
  } catch (error) {
    if (isKv4Error(error)) return error.code
    throw error
  }
}
