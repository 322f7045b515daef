import { InvalidArgumentError, type Command } from 'commander'
import type { Method } from '../services/module'
import { type Answer, send } from './client'
import { type Destination, type DestinationOptions, destination } from './destination'
import { EXIT, type ExitCode } from './failure'
import { requestTarget } from './request-target'
import { explain } from './show'

/** What the commands have in common that show one service as tables for people and JSON for programs. */
export interface Options extends DestinationOptions {
  readonly json?: boolean
  readonly timeout: number
}

type Parameters = Readonly<Record<string, string | undefined>>

/** The server said no: the code and its remedy are on standard error already. */
export class Refused extends Error {
  constructor(
    readonly code: string,
    /** As the server asks to wait before another try. */
    readonly retryAfterMs: number,
  ) {
    super(code)
  }
}

/** A command with the options that say which server is meant, and in whose name. */
export function withDestination(command: Command): Command {
  return command
    .option('--url <url>', 'server (KV4_URL; default http://127.0.0.1:4006)')
    .option('-u, --user <user:secret>', 'credential (KV4_USER)')
    .option('--user-file <file>', 'file whose first line is user:secret')
    .option('-p, --profile <name>', 'server and credential of a profile (KV4_PROFILE)')
    .option('--json', 'print JSON, for programs')
    .option('--timeout <seconds>', 'how long to wait for an answer', seconds, 60)
}

/** What the server refuses is said and ends with its exit code. */
export async function run(
  end: (exit: ExitCode) => void,
  options: Options,
  work: (to: Destination) => Promise<void>,
): Promise<void> {
  try {
    await work(await destination(options))
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    end(EXIT.refused)
  }
}

/** @throws Refused once it has been said why */
export async function ask(
  to: Destination,
  { timeout }: Options,
  method: Method,
  path: string,
  parameters: Parameters,
  body?: unknown,
): Promise<Answer> {
  const query = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  )
  const answer = await send(to, {
    method,
    target: requestTarget(path, query),
    timeoutMs: timeout * 1000,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  if (answer.ok) return answer
  process.stderr.write(explain(answer) + '\n')
  throw new Refused(String(answer.envelope['v']), 1_000 * (Number(answer.retryAfter) || 0))
}

/** Every page of a listing. */
export async function all<Item>(
  to: Destination,
  options: Options,
  path: string,
  parameters: Parameters,
): Promise<readonly Item[]> {
  const items: Item[] = []
  let after: string | undefined
  do {
    const { envelope } = await ask(to, options, 'GET', path, { ...parameters, after })
    items.push(...(envelope['v'] as readonly Item[]))
    after = envelope['next'] as string | undefined
  } while (after !== undefined)
  return items
}

/** Of unix ms. */
export function time(ms: number): string {
  return new Date(ms).toISOString()
}

/** One value: with line breaks for people. */
export function show(options: Options, value: unknown): void {
  if (options.json === true) json(value)
  else print(JSON.stringify(value, undefined, 2))
}

export function json(value: unknown): void {
  print(JSON.stringify(value))
}

export function print(text: string): void {
  process.stdout.write(text + '\n')
}

/** An argument that is JSON. */
export function jsonArgument(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new InvalidArgumentError('not JSON')
  }
}

function seconds(text: string): number {
  const value = Number(text)
  if (!/^\d{1,6}(\.\d+)?$/.test(text) || value <= 0) throw new InvalidArgumentError('a number of seconds')
  return value
}
