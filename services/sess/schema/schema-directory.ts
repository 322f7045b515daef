import { readFile, readdir, stat } from 'node:fs/promises'
import { extname, join } from 'node:path'
import type { Json } from '../../../core'
import { schemaProblem } from './bad-schema'
import { closure, compile } from './compile'
import { readSource, MOST_BYTES } from './read-source'
import { schemaName } from './schema-name'
import { translate, type Translated } from './translate'

const EXTENSIONS = ['.yaml', '.yml', '.json']
const MOST_FILES = 1_000
const LOOK_EVERY_MS = 1_000

/** A schema that was read from a file. Another object when the file has changed. */
export interface SchemaFile {
  readonly source: Json
  readonly translated: Translated
}

interface Seen {
  /** What tells a file that has changed. */
  readonly mark: string
  readonly file: SchemaFile | undefined
}

/**
 * Schemas for the namespaces of every account, one a file: `team.feature.v1.yaml`. Looked at every second: a file that
 * has changed counts from then on; one that cannot be used is told once, and what was read before it stays.
 */
export class SchemaDirectory {
  #files: ReadonlyMap<string, SchemaFile> = new Map()
  #seen = new Map<string, Seen>()
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #problem = ''

  /** @param onProblem told what is wrong with which file */
  constructor(
    private readonly directory: string,
    private readonly onProblem: (error: Error) => void,
  ) {}

  get(name: string): SchemaFile | undefined {
    return this.#files.get(name)
  }

  async start(): Promise<void> {
    await this.look()
    this.#timer = setInterval(() => {
      this.#looking ??= this.look().finally(() => (this.#looking = undefined))
    }, LOOK_EVERY_MS)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#looking
  }

  /** Reads what has changed. Never rejects. */
  async look(): Promise<void> {
    let names: readonly string[]
    try {
      names = (await readdir(this.directory)).filter((name) => EXTENSIONS.includes(extname(name))).sort()
      if (names.length > MOST_FILES) throw new Error(`more than ${MOST_FILES} files`)
      this.#problem = ''
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      // Told once for as long as it is so.
      if (reason !== this.#problem) this.#tell('the directory', reason)
      this.#problem = reason
      return
    }
    const seen = new Map<string, Seen>()
    const changed: string[] = []
    for (const name of names) {
      const mark = await this.#markOf(name)
      const before = this.#seen.get(name)
      if (mark === before?.mark) {
        seen.set(name, before)
        continue
      }
      changed.push(name)
      seen.set(name, { mark, file: (await this.#read(name)) ?? before?.file })
    }
    const isGone = [...this.#seen.keys()].some((name) => !seen.has(name))
    if (changed.length > 0 || isGone) {
      for (const name of changed) await this.#keepIfUsable(name, seen)
      this.#files = byName(seen)
    }
    this.#seen = seen
  }

  /** What cannot be compiled with the others counts as what it was before. */
  async #keepIfUsable(name: string, seen: Map<string, Seen>): Promise<void> {
    const { mark, file } = seen.get(name)!
    if (file === undefined) return
    const files = byName(seen)
    const schema = nameOf(name)
    try {
      compile(schema, await closure(schema, async (each) => files.get(each)?.translated))
    } catch (error) {
      this.#tell(name, reasonOf(error))
      seen.set(name, { mark, file: this.#seen.get(name)?.file })
    }
  }

  async #markOf(name: string): Promise<string> {
    try {
      const { mtimeMs, size, ino } = await stat(join(this.directory, name))
      return `${mtimeMs} ${size} ${ino}`
    } catch {
      // It went meanwhile, or may not be looked at: reading it will say.
      return ''
    }
  }

  async #read(name: string): Promise<SchemaFile | undefined> {
    try {
      schemaName(nameOf(name))
      const bytes = await readFile(join(this.directory, name))
      if (bytes.length > MOST_BYTES) throw new Error(`longer than ${MOST_BYTES} bytes`)
      const source = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
      return { source, translated: translate(readSource(source)) }
    } catch (error) {
      this.#tell(name, reasonOf(error))
      return undefined
    }
  }

  #tell(what: string, reason: string): void {
    this.onProblem(new Error(`schemas in ${this.directory}: ${what} cannot be used: ${reason}`))
  }
}

function byName(seen: ReadonlyMap<string, Seen>): ReadonlyMap<string, SchemaFile> {
  return new Map([...seen].flatMap(([name, { file }]) => (file === undefined ? [] : [[nameOf(name), file]])))
}

function nameOf(file: string): string {
  return file.slice(0, -extname(file).length)
}

function reasonOf(error: unknown): string {
  return schemaProblem(error) ?? (error instanceof Error ? error.message : String(error))
}
