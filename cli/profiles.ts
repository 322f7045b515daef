import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { usage } from './failure'
import type { ProfilesFile } from './profiles-file'

/** A server, and who to be there. */
export interface Profile {
  readonly url: string
  /** `user:secret`. */
  readonly user?: string
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/**
 * The servers that the user has named, in `~/.kv4/profiles.json`. The file holds secrets: it is written with mode
 * 0600, whole or not at all, and not read while others may read it.
 */
export class Profiles {
  readonly #profiles: Map<string, Profile>
  #default: string | undefined

  private constructor(
    readonly file: string,
    content: ProfilesFile,
  ) {
    this.#profiles = new Map(
      Object.entries(content.profiles).map(([name, { url, user }]) => [
        name,
        user === undefined ? { url } : { url, user },
      ]),
    )
    this.#default = content.default
  }

  /** No file is an empty list. @throws CliFailure when it is open to others, or not what `save` writes */
  static async load(file: string = join(homedir(), '.kv4', 'profiles.json')): Promise<Profiles> {
    let text: string
    try {
      // Windows has no such modes.
      if (process.platform !== 'win32' && (statSync(file).mode & 0o077) !== 0)
        throw usage(`${file} can be read by others`, `It holds secrets: chmod 600 ${file}`)
      text = readFileSync(file, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Profiles(file, { profiles: {} })
      throw error
    }
    // Loading what reads it takes longer than a request that needs no profile.
    const { parseProfiles } = await import('./profiles-file.js')
    try {
      return new Profiles(file, parseProfiles(text))
    } catch {
      throw usage(`${file} is not a list of profiles`, 'Mend or remove it; kv4 profile set writes a new one.')
    }
  }

  get default(): string | undefined {
    return this.#default
  }

  get(name: string): Profile | undefined {
    return this.#profiles.get(name)
  }

  list(): readonly (readonly [name: string, profile: Profile])[] {
    return [...this.#profiles].sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /** The first one becomes the default. */
  set(name: string, profile: Profile, makeDefault: boolean): void {
    if (!NAME.test(name))
      throw usage(
        `${JSON.stringify(name)} cannot name a profile`,
        'Use letters, digits, `.`, `_` and `-`, at most 64.',
      )
    if (makeDefault || this.#profiles.size === 0) this.#default = name
    this.#profiles.set(name, profile)
  }

  /** false: there was none. */
  remove(name: string): boolean {
    if (this.#default === name) this.#default = undefined
    return this.#profiles.delete(name)
  }

  save(): void {
    const directory = dirname(this.file)
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const content: ProfilesFile = {
      ...(this.#default === undefined ? {} : { default: this.#default }),
      profiles: Object.fromEntries(this.list()),
    }
    const fresh = `${this.file}.${process.pid}`
    writeFileSync(fresh, JSON.stringify(content, null, 2) + '\n', { mode: 0o600 })
    chmodSync(fresh, 0o600)
    renameSync(fresh, this.file)
  }
}
