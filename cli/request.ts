import { Command, InvalidArgumentError } from 'commander'
import type { Method } from '../services/module'
import { send } from './client'
import { type DestinationOptions, destination } from './destination'
import { EXIT, type ExitCode } from './failure'
import { requestBody } from './request-body'
import { requestTarget } from './request-target'
import { type ShowOptions, show } from './show'

interface RequestOptions extends DestinationOptions, ShowOptions {
  readonly data?: string
  readonly query?: readonly string[]
  readonly timeout: number
}

const SUMMARY: Readonly<Record<Method, string>> = {
  GET: 'read a value, a listing or a history',
  PUT: 'create',
  POST: 'update (or create)',
  PATCH: 'change single properties',
  DELETE: 'delete a key, or all keys of a path',
}

const EXAMPLES: Readonly<Record<Method, string>> = {
  GET: `
Examples:
  kv4 get /_ds                                which layers there are
  kv4 get '/_ds?a=paths&l=*acc'               the paths of a layer
  kv4 get /_data/my/path                      the keys at a path
  kv4 get /_data/my/path -q k=colour          one value
  kv4 get /_data/my/path -q k=colour --raw    the value alone, for scripts
  kv4 get /_data/my/path -q k=colour -q time_series=1 -q gs=2026:11`,
  PUT: `
Examples:
  kv4 put /_ns/my/path                        a namespace (no body)
  kv4 put /_data/my/path -d '{"k":"colour","v":{"name":"blue"}}'
  kv4 put /_data/my/path -d @entry.json       the body from a file
  jq -n '{k:"n",v:1}' | kv4 put /_data/my/path -d -
  kv4 put /_acc/accounts -d '{"k":"elena","v":{"email":"elena@example.com"}}'`,
  POST: `
Examples:
  kv4 post /_data/my/path -d '{"k":"colour","v":{"name":"red"}}'
  kv4 post /_acc/accounts -d '{"k":"lily","v":{"active":false}}'`,
  PATCH: `
Examples:
  kv4 patch /_sess/user-1337 -d '{"k":"lastSeen","v":{"page":"/home","old":null}}'`,
  DELETE: `
Examples:
  kv4 delete /_data/my/path -q k=colour       one key; its history stays
  kv4 delete /_data/my/path                   every key at the path
  kv4 delete /_ns/my/path                     a namespace with all below it`,
}

const WHO = `
Who is asking, the first of these that is given:
  --user 'elena:secret' or --user elena (asks for the secret), --user-file FILE
  --profile NAME or KV4_PROFILE, made by kv4 profile set
  KV4_USER='elena#lily:!secret'
  the default profile
Quote it with ' for the shell, because of $, ! and #. A secret in --user stays in the shell's history and is seen in
the list of processes: use a profile or --user-file for more than a try.`

/** `kv4 get|put|post|patch|delete PATH`: one request, its answer printed. */
export function requestCommand(method: Method, end: (exit: ExitCode) => void): Command {
  const command = new Command(method.toLowerCase())
    .description(SUMMARY[method])
    .argument('<path>', 'path and query: /_service/my/path?k=key')
    .option('-q, --query <name=value>', 'adds a query parameter, encoded; may be repeated', collect)
    .option('--url <url>', 'server (KV4_URL; default http://127.0.0.1:4006)')
    .option('-u, --user <user:secret>', 'credential (KV4_USER)')
    .option('--user-file <file>', 'file whose first line is user:secret')
    .option('-p, --profile <name>', 'server and credential of a profile (KV4_PROFILE)')
    .option('--raw', 'print the value of v alone, a string without quotes')
    .option('--json', 'print the reply on one line, as it came, also on a terminal')
    .option('--timeout <seconds>', 'how long to wait for the answer', seconds, 30)
    .addHelpText('after', EXAMPLES[method] + '\n' + WHO)
  if (method === 'PUT' || method === 'POST' || method === 'PATCH')
    command.option('-d, --data <json>', 'body: JSON, @file, or - for standard input')
  return command.action(async (path: string, options: RequestOptions) => {
    const target = requestTarget(path, options.query)
    const body = options.data === undefined ? undefined : requestBody(options.data)
    const answer = await send(await destination(options), {
      method,
      target,
      timeoutMs: options.timeout * 1000,
      ...(body === undefined ? {} : { body }),
    })
    show(answer, options)
    end(answer.ok ? EXIT.ok : EXIT.refused)
  })
}

function collect(pair: string, pairs: readonly string[] = []): readonly string[] {
  return [...pairs, pair]
}

function seconds(text: string): number {
  const value = Number(text)
  if (!/^\d{1,6}(\.\d+)?$/.test(text) || value <= 0) throw new InvalidArgumentError('a number of seconds')
  return value
}
