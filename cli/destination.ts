import { usage } from './failure'
import { type Login, type LoginOptions, completeLogin, readLogin } from './login'
import { type Profile, Profiles } from './profiles'

/** Where a request goes, and as whom. */
export interface Destination {
  /** Without a trailing slash. */
  readonly url: string
  readonly login?: Login
}

export interface DestinationOptions extends LoginOptions {
  readonly url?: string
  readonly profile?: string
}

export const DEFAULT_URL = 'http://127.0.0.1:4006'

/**
 * Flags win over a profile that is named, that over KV4_URL and KV4_USER, those over the default profile. A profile's
 * credential goes to the profile's server and to no other.
 * @throws CliFailure
 */
export async function destination(
  options: DestinationOptions,
  env: NodeJS.ProcessEnv = process.env,
): Promise<Destination> {
  const named = options.profile ?? nonEmpty(env['KV4_PROFILE'])
  const profile = named === undefined ? undefined : await namedProfile(named)
  const environment: Partial<Profile> = profile === undefined ? fromEnvironment(env) : {}
  const fallback = profile ?? (await defaultProfile(options, environment))

  const url = parseUrl(options.url ?? environment.url ?? fallback?.url ?? DEFAULT_URL)
  const login = await readLogin(options)
  if (login !== undefined) return { url, login }
  const kept =
    environment.user ?? (fallback !== undefined && sameServer(url, fallback.url) ? fallback.user : undefined)
  return kept === undefined ? { url } : { url, login: await completeLogin(kept) }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text
}

function fromEnvironment(env: NodeJS.ProcessEnv): Partial<Profile> {
  const [url, user] = [nonEmpty(env['KV4_URL']), nonEmpty(env['KV4_USER'])]
  return { ...(url === undefined ? {} : { url }), ...(user === undefined ? {} : { user }) }
}

async function namedProfile(name: string): Promise<Profile> {
  const profiles = await Profiles.load()
  const profile = profiles.get(name)
  if (profile === undefined)
    throw usage(
      `there is no profile ${JSON.stringify(name)} in ${profiles.file}`,
      'kv4 profile list shows them.',
    )
  return profile
}

/** Not even looked at when everything is said already, so that a broken file hinders nobody who does not use it. */
async function defaultProfile(
  options: DestinationOptions,
  environment: Partial<Profile>,
): Promise<Profile | undefined> {
  const hasUser = (options.user ?? options.userFile ?? environment.user) !== undefined
  if (hasUser && (options.url ?? environment.url) !== undefined) return undefined
  const profiles = await Profiles.load()
  return profiles.default === undefined ? undefined : profiles.get(profiles.default)
}

/** @throws CliFailure for anything but a plain http(s) URL */
export function parseUrl(text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    throw usage(`${JSON.stringify(text)} is not a URL`, `Give it as ${DEFAULT_URL}.`)
  }
  // Not shown: what is in it may be a secret.
  if (url.username !== '' || url.password !== '')
    throw usage(
      'the URL holds a credential',
      'Give the credential as --user, --user-file, KV4_USER or in a profile.',
    )
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw usage(`${JSON.stringify(text)} is not an http or https URL`)
  if (url.search !== '' || url.hash !== '')
    throw usage(`${JSON.stringify(text)} has more than a server in it`)
  return url.href.replace(/\/+$/, '')
}

function sameServer(a: string, b: string): boolean {
  return new URL(a).origin === new URL(b).origin
}
