import {
  Key,
  Kv4Error,
  Path,
  isKv4Error,
  type Address,
  type Bucket,
  type Json,
  type JsonObject,
  type Version,
} from '../../../core'
import { writeUnder, type Condition } from '../../condition'
import { SCHEMAS } from '../places'
import { badSchema, schemaProblem } from './bad-schema'
import { closure, compile, type Validate } from './compile'
import { readSource } from './read-source'
import type { SchemaDirectory, SchemaFile } from './schema-directory'
import { isSchemaName, schemaName } from './schema-name'
import { translate, type Translated } from './translate'

/** Schemas that an account may have of its own. */
export const MOST_SCHEMAS = 200
const MOST_COMPILED = 1_000

export const SCHEMAS_PLACE = { layer: SCHEMAS, path: Path.root }

/** What a compiled schema rests on: versions of the account's, files of the directory, or that there is none. */
type Ground = ReadonlyMap<string, Version | SchemaFile | undefined>

interface Compiled {
  readonly ground: Ground
  readonly validate: Validate
}

const translations = new WeakMap<Version, Translated>()

/**
 * The schemas of accounts, each an entry that the next write after its change is checked by, on every node; and behind
 * them those of the directory, which every account has. What an account calls by the name of a file counts before it.
 */
export class Schemas {
  /** By account and name; the one that is used is last. */
  readonly #compiled = new Map<string, Compiled>()

  constructor(private readonly directory?: SchemaDirectory) {}

  /** @throws invalid, and bad_schema when the schema has lost what it refers to */
  async check(bucket: Bucket, namespace: Key, document: JsonObject): Promise<void> {
    if (!isSchemaName(namespace)) return
    const found = await this.#found(bucket, namespace)
    if (found === undefined) return
    ;(await this.#validator(bucket, namespace, found))(document)
  }

  /** The schema that writes of this name are checked by; `version` absent: it comes from the directory. */
  async get(
    bucket: Bucket,
    name: Key,
  ): Promise<{ readonly source: Json; readonly version?: Version } | undefined> {
    const version = await bucket.get(addressOf(name))
    if (version !== undefined) return { source: version.v, version }
    const file = this.directory?.get(name)
    return file && { source: file.source }
  }

  /**
   * Declares a schema, once it is certain that it and all that refer to it can be used.
   * @throws bad_schema, limit_reached; what the condition says
   */
  async put(
    bucket: Bucket,
    name: string,
    source: Json,
    { by, condition }: { readonly by: string; readonly condition: Condition },
  ): Promise<Version> {
    const at = addressOf(schemaName(name))
    const declared = translate(readSource(source))
    const own = await this.#own(bucket)
    if (!own.has(name) && own.size >= MOST_SCHEMAS)
      throw new Kv4Error('limit_reached', { fields: { resource: 'schema', limit: MOST_SCHEMAS } })
    const find = async (each: string) =>
      each === name ? declared : (own.get(each) ?? this.directory?.get(each)?.translated)
    compile(name, await closure(name, find))
    for (const user of usersOf(name, own)) await this.#assertUsable(user, find)
    return writeUnder(
      condition,
      (expect) => bucket.put(at, source, { by, ...(expect !== undefined && { expect }) }),
      async () => (await bucket.get(at, { consistent: true })) === undefined,
    )
  }

  /**
   * false: the account has none of this name.
   * @throws schema_in_use; bad_schema where the file of that name would not do in its place; what the condition says
   */
  async remove(
    bucket: Bucket,
    name: string,
    { by, condition }: { readonly by: string; readonly condition?: Condition | undefined },
  ): Promise<boolean> {
    const own = await this.#own(bucket)
    const users = usersOf(name, own)
    const file = this.directory?.get(name)?.translated
    for (const user of users) {
      if (file === undefined) throw new Kv4Error('schema_in_use', { fields: { k: user } })
      await this.#assertUsable(user, async (each) =>
        each === name ? file : (own.get(each) ?? this.directory?.get(each)?.translated),
      )
    }
    const expect = condition?.expect
    try {
      const removed = await bucket.remove(addressOf(name), { by, ...(expect !== undefined && { expect }) })
      if (removed === undefined && condition !== undefined) throw new Kv4Error(condition.failure)
      return removed !== undefined
    } catch (error) {
      throw condition !== undefined && isKv4Error(error, 'version_conflict')
        ? new Kv4Error(condition.failure, { cause: error })
        : error
    }
  }

  /** What a name means at the moment. */
  async #found(bucket: Bucket, name: string): Promise<Version | SchemaFile | undefined> {
    return (await bucket.get(addressOf(name))) ?? this.directory?.get(name)
  }

  async #validator(bucket: Bucket, name: string, found: Version | SchemaFile): Promise<Validate> {
    const id = `${bucket.name}\n${name}`
    const known = this.#compiled.get(id)
    if (known !== undefined && (await this.#stands(bucket, known.ground, name, found))) {
      this.#keep(id, known)
      return known.validate
    }
    const ground = new Map<string, Version | SchemaFile | undefined>()
    const all = await closure(name, async (each) => {
      const meant = each === name ? found : await this.#found(bucket, each)
      ground.set(each, meant)
      return meant && (isVersion(meant) ? translated(meant) : meant.translated)
    })
    const validate = compile(name, all)
    this.#keep(id, { ground, validate })
    return validate
  }

  /** Versions are immutable, and a cached one stays the same object until it is replaced. */
  async #stands(bucket: Bucket, ground: Ground, name: string, found: Version | SchemaFile): Promise<boolean> {
    for (const [each, before] of ground)
      if (!isSame(each === name ? found : await this.#found(bucket, each), before)) return false
    return true
  }

  #keep(id: string, compiled: Compiled): void {
    this.#compiled.delete(id)
    this.#compiled.set(id, compiled)
    if (this.#compiled.size > MOST_COMPILED) this.#compiled.delete(this.#compiled.keys().next().value!)
  }

  async #own(bucket: Bucket): Promise<ReadonlyMap<string, Translated>> {
    const { items } = await bucket.entries(SCHEMAS_PLACE, { limit: MOST_SCHEMAS + 1, consistent: true })
    return new Map(items.map(({ key, version }) => [key, translated(version)]))
  }

  async #assertUsable(name: string, find: (name: string) => Promise<Translated | undefined>): Promise<void> {
    try {
      await closure(name, find)
    } catch (error) {
      const problem = schemaProblem(error)
      if (problem === undefined) throw error
      throw badSchema('', `then ${name}, which refers to it, could not be used: ${problem}`)
    }
  }
}

function addressOf(name: string): Address {
  return { ...SCHEMAS_PLACE, key: Key.parse(name) }
}

function translated(version: Version): Translated {
  let known = translations.get(version)
  if (known === undefined) translations.set(version, (known = translate(readSource(version.v))))
  return known
}

function isVersion(ground: Version | SchemaFile): ground is Version {
  return 'n' in ground
}

function isSame(a: Version | SchemaFile | undefined, b: Version | SchemaFile | undefined): boolean {
  if (a === b) return true
  // Read anew from the store, as where the cache has let go of it.
  return a !== undefined && b !== undefined && isVersion(a) && isVersion(b) && a.n === b.n && a.at === b.at
}

/** Those that refer to a schema, by whatever way. */
function usersOf(name: string, all: ReadonlyMap<string, Translated>): ReadonlySet<string> {
  const users = new Set<string>()
  let before: number
  do {
    before = users.size
    for (const [each, { refers }] of all)
      if (each !== name && (refers.has(name) || [...users].some((user) => refers.has(user)))) users.add(each)
  } while (users.size > before)
  return users
}
