import { readFileSync } from 'node:fs'
import { usage } from './failure'
import { promptSecret } from './prompt'

/** The two halves of HTTP Basic. */
export interface Login {
  readonly user: string
  readonly password: string
}

/** How the user may say who they are; the first that is given counts. */
export interface LoginOptions {
  /** `user:secret`, or `user` alone: then the secret is asked for. */
  readonly user?: string
  /** File whose first line is `user:secret`. */
  readonly userFile?: string
}

/** Split at the first `:`, as HTTP does; the user half has none. */
export function parseLogin(text: string): Login | string {
  const colon = text.indexOf(':')
  if (text === '' || colon === 0)
    throw usage('the user is missing', "Give it as 'account:secret', 'account#sub:!secret', …")
  return colon < 0 ? text : { user: text.slice(0, colon), password: text.slice(colon + 1) }
}

/** The line that profiles keep. */
export function printLogin({ user, password }: Login): string {
  return user + ':' + password
}

/** Asks for what is missing. undefined: neither option is given. */
export async function readLogin(options: LoginOptions): Promise<Login | undefined> {
  if (options.user !== undefined && options.userFile !== undefined)
    throw usage('give --user or --user-file, not both')
  const text = options.userFile === undefined ? options.user : firstLine(options.userFile)
  return text === undefined ? undefined : completeLogin(text)
}

export async function completeLogin(text: string): Promise<Login> {
  const login = parseLogin(text)
  return typeof login === 'string'
    ? { user: login, password: await promptSecret(`Secret of ${login}: `) }
    : login
}

function firstLine(file: string): string {
  try {
    return readFileSync(file, 'utf8').split(/\r?\n/, 1)[0]!
  } catch (error) {
    throw usage(`${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
  }
}
