import { Kv4Error } from '../errors'

declare const brand: unique symbol

/**
 * The name of a tenant's bucket: `$sys`, `$elena`, `$elena)lily`. Injective in (account, sub): every byte outside
 * `[a-z0-9_-]` is written `(hh)`, so an unescaped `)` is always the separator between account and sub-account.
 * The database of a bucket is `kv4_` + name + `_data`. Only the functions below make one.
 */
export type BucketName = string & { readonly [brand]: 'BucketName' }

const SAFE = /^[a-z0-9_-]$/
// CouchDB refuses database names over 238 bytes; `kv4_` and `_data` take 9.
const MAX_BYTES = 238 - 9

function escape(name: string): string {
  let escaped = ''
  for (const byte of Buffer.from(name, 'utf8')) {
    const character = String.fromCharCode(byte)
    escaped += SAFE.test(character) ? character : '(' + byte.toString(16).padStart(2, '0') + ')'
  }
  return escaped
}

function unescape(escaped: string): string {
  const bytes: number[] = []
  for (let i = 0; i < escaped.length; i++) {
    if (escaped[i] === '(') {
      bytes.push(Number.parseInt(escaped.slice(i + 1, i + 3), 16))
      i += 3
    } else bytes.push(escaped.charCodeAt(i))
  }
  return Buffer.from(bytes).toString('utf8')
}

const NAME = /^\$((?:[a-z0-9_-]|\([0-9a-f]{2}\))+)(?:\)((?:[a-z0-9_-]|\([0-9a-f]{2}\))+))?$/
const DATABASE = /^kv4_(.+)_data$/

function checked(name: string): BucketName {
  if (name.length > MAX_BYTES) throw new Kv4Error('bad_bucket_name')
  return name as BucketName
}

export const BucketName = {
  system: '$sys' as BucketName,

  /** @throws bad_bucket_name for `sys`, empty names and names whose database name would be too long */
  of(account: string, sub?: string): BucketName {
    if (
      account === 'sys' ||
      account === '' ||
      sub === '' ||
      !account.isWellFormed() ||
      sub?.isWellFormed() === false
    )
      throw new Kv4Error('bad_bucket_name')
    return checked('$' + escape(account) + (sub === undefined ? '' : ')' + escape(sub)))
  },

  /** Back to the names it was made of; the system bucket is `{account: '$sys'}`. */
  owner(bucket: BucketName): { readonly account: string; readonly sub?: string } {
    if (bucket === BucketName.system) return { account: '$sys' }
    const [, account, sub] = NAME.exec(bucket)!
    return sub === undefined
      ? { account: unescape(account!) }
      : { account: unescape(account!), sub: unescape(sub) }
  },

  database(bucket: BucketName): string {
    return 'kv4_' + bucket + '_data'
  },

  /** undefined for a database that is not a bucket's. */
  fromDatabase(database: string): BucketName | undefined {
    const name = DATABASE.exec(database)?.[1]
    if (name === undefined || name.length > MAX_BYTES || !NAME.test(name)) return undefined
    if (name === BucketName.system) return BucketName.system
    // A spelling that `of` would not have chosen is somebody else's database.
    const { account, sub } = BucketName.owner(name as BucketName)
    return account !== 'sys' && BucketName.of(account, sub) === name ? (name as BucketName) : undefined
  },
}
