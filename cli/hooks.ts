import { Command } from 'commander'
import { absolute, entryAddress } from './entry-address'
import type { ExitCode } from './failure'
import {
  all,
  ask,
  json,
  jsonArgument,
  print,
  run,
  show,
  time,
  withDestination,
  type Options,
} from './service-command'
import { table } from './table'

interface Hook {
  readonly k: string
  readonly path: string
  readonly endpoint: string
  readonly layer: string
  readonly disabled?: { readonly at: number; readonly reason: string }
}

interface DeadLetter {
  readonly id: string
  readonly at: number
  readonly tries: number
  readonly last?: { readonly at: number; readonly status?: number; readonly error?: string }
}

const DEPTH = '64'

/** `kv4 hooks`: who is told of changes, and how that goes. */
export function hooksCommand(end: (exit: ExitCode) => void): Command {
  const hooks = new Command('hooks').description(
    'webhooks: who is told of changes; /rooms/audit is hook audit at /rooms',
  )
  hooks.addCommand(
    withDestination(new Command('list'))
      .description('those at a path and below, or all')
      .argument('[path]', '/rooms', '/')
      .action((path: string, options: Options) =>
        run(end, options, async (to) => {
          const found = await all<Hook>(to, options, `/_hooks${absolute(path)}`, {
            as: 'values',
            depth: DEPTH,
          })
          if (options.json === true) return json(found)
          const rows = found.map((hook) => [named(hook), state(hook), hook.layer, hook.endpoint])
          print(table(['hook', 'state', 'layer', 'endpoint'], rows))
        }),
      ),
    { isDefault: true },
  )
  hooks.addCommand(
    withDestination(new Command('get'))
      .description('one, with its last try, its next and what waits')
      .argument('<hook>')
      .action((id: string, options: Options) =>
        run(end, options, async (to) => {
          const { path, k } = entryAddress('/_hooks', id)
          show(options, (await ask(to, options, 'GET', path, { k })).envelope['v'])
        }),
      ),
  )
  hooks.addCommand(
    withDestination(new Command('set'))
      .description('registers one, or changes it; its secret is shown when it is made, and never again')
      .argument('<hook>')
      .argument('<description>', '{"endpoint": "https://…", "events": ["delete"]}', jsonArgument)
      .action((id: string, v: unknown, options: Options) =>
        run(end, options, async (to) => {
          const { path, k } = entryAddress('/_hooks', id)
          show(options, (await ask(to, options, 'PUT', path, {}, { k, v })).envelope['v'])
        }),
      ),
  )
  hooks.addCommand(
    withDestination(new Command('remove'))
      .description('removes one, with what it has not delivered')
      .argument('<hook>')
      .action((id: string, options: Options) =>
        run(end, options, async (to) => {
          const { path, k } = entryAddress('/_hooks', id)
          await ask(to, options, 'DELETE', path, { k })
        }),
      ),
  )
  hooks.addCommand(
    withDestination(new Command('dead'))
      .description('what was given up, the oldest first')
      .argument('<hook>')
      .action((id: string, options: Options) =>
        run(end, options, async (to) => {
          const { path, k } = entryAddress('/_hooks', id)
          const letters = await all<DeadLetter>(to, options, path, { k, dead: '1' })
          if (options.json === true) return json(letters)
          print(table(['id', 'time', 'tries', 'last try'], letters.map(letterRow)))
        }),
      ),
  )
  hooks.addCommand(
    act(end, 'replay', 'sends what happened in an interval once more')
      .requiredOption('--from <instant>', 'ISO 8601 or unix milliseconds')
      .option('--to <instant>', 'until then; absent: now'),
  )
  hooks.addCommand(
    act(end, 'resend', 'tries dead letters again').option('--id <webhook-id>', 'one of them; absent: all'),
  )
  hooks.addCommand(act(end, 'enable', 'sends again, and what happened meanwhile'))
  hooks.addCommand(act(end, 'disable', 'sends nothing until it is enabled; nothing is lost'))
  hooks.addCommand(act(end, 'rotate', 'a new secret, shown once; the one before signs too for a day'))
  return hooks
}

type Wanted = Options & { readonly from?: string; readonly to?: string; readonly id?: string }

/** What is asked to be done with a hook that is there; the answer is shown. */
function act(end: (exit: ExitCode) => void, word: string, description: string): Command {
  return withDestination(new Command(word))
    .description(description)
    .argument('<hook>')
    .action((hook: string, options: Wanted) =>
      run(end, options, async (to) => {
        const { path, k } = entryAddress('/_hooks', hook)
        const { from, to: until, id } = options
        const { envelope } = await ask(to, options, 'POST', path, { k, [word]: '1', from, to: until, id })
        show(options, envelope['v'])
      }),
    )
}

function named({ path, k }: Hook): string {
  return path === '/' ? `/${k}` : `${path}/${k}`
}

function state({ disabled }: Hook): string {
  return disabled === undefined ? '-' : `disabled ${time(disabled.at)}: ${disabled.reason}`
}

function letterRow({ id, at, tries, last }: DeadLetter): readonly string[] {
  return [id, time(at), String(tries), last === undefined ? '-' : String(last.status ?? last.error)]
}
