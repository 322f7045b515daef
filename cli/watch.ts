import { Command, InvalidArgumentError } from 'commander'
import { printBasicHeader } from '../auth/basic-header'
import { GatewayError, watchChanges } from '../client'
import { CATALOGUE } from '../core'
import type { ErrorCode } from '../core'
import { type DestinationOptions, destination } from './destination'
import { CliFailure, EXIT } from './failure'
import { requestTarget } from './request-target'

interface WatchCommandOptions extends DestinationOptions {
  readonly query?: readonly string[]
  readonly since?: string
  readonly depth?: string
  readonly prev?: boolean
  readonly count?: number
}

const EXAMPLES = `
One line of JSON for each change: {"type","path","k","layer","version","by","at","v","cursor"}; it goes on until it is
stopped (Ctrl-C), and comes back by itself when the connection breaks.

Examples:
  kv4 watch /_data/my/path                     the path and everything below it
  kv4 watch /_data/my/path -q k=colour         one key
  kv4 watch /_data/my/path --since 0           all history first
  kv4 watch /_data --since mwpxkkpx~2.1 | jq -c '[.type, .path, .k]'
  kv4 watch /_acc/accounts --count 1           ends with the first change`

/** `kv4 watch PATH`: changes as they happen, a line each. */
export function watchCommand(): Command {
  return new Command('watch')
    .description('print changes as they happen, a line each')
    .argument('<path>', 'path and query: /_service/my/path?k=key')
    .option('-q, --query <name=value>', 'adds a query parameter, encoded; may be repeated', collect)
    .option('--since <cursor>', 'go on behind the cursor of a line that was printed; 0: all history')
    .option('--depth <n>', 'how many segments below the path; 0: the path alone')
    .option('--prev', 'with what was there before')
    .option('--count <n>', 'end after so many changes', whole)
    .option('--url <url>', 'server (KV4_URL; default http://127.0.0.1:4006)')
    .option('-u, --user <user:secret>', 'credential (KV4_USER)')
    .option('--user-file <file>', 'file whose first line is user:secret')
    .option('-p, --profile <name>', 'server and credential of a profile (KV4_PROFILE)')
    .addHelpText('after', EXAMPLES)
    .action(run)
}

async function run(path: string, options: WatchCommandOptions): Promise<void> {
  const { since, depth, prev = false, count = Infinity } = options
  const pairs = [...(options.query ?? [])]
  if (depth !== undefined) pairs.push(`depth=${depth}`)
  if (prev) pairs.push('prev=1')
  const target = requestTarget(path, pairs)
  const { url, login } = await destination(options)
  const ending = new AbortController()
  const end = () => ending.abort()
  process.once('SIGINT', end).once('SIGTERM', end)
  // Nobody reads any more: `kv4 watch … | head -1`.
  process.stdout.once('error', end)
  try {
    let told = 0
    for await (const { change, cursor } of watchChanges({
      url,
      target,
      headers: login === undefined ? {} : { authorization: printBasicHeader(login) },
      ...(since !== undefined && { since }),
      signal: ending.signal,
      onReconnect: (reason, waitMs) => process.stderr.write(`kv4: ${reason}; again in ${waitMs / 1000} s\n`),
    })) {
      if (!process.stdout.write(JSON.stringify({ ...change, cursor }) + '\n'))
        await new Promise((resolve) => process.stdout.once('drain', resolve))
      if (++told >= count) return
    }
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error
    const known = Object.hasOwn(CATALOGUE, error.code) ? CATALOGUE[error.code as ErrorCode] : undefined
    throw new CliFailure(
      EXIT.refused,
      known === undefined ? error.code : `${error.code}: ${known.text}`,
      known?.remedy,
    )
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end)
  }
}

function collect(pair: string, pairs: readonly string[] = []): readonly string[] {
  return [...pairs, pair]
}

function whole(text: string): number {
  const value = Number(text)
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('a whole number, 1 or more')
  return value
}
