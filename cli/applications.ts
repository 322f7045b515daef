import { Command } from 'commander'
import { usage, type ExitCode } from './failure'
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

interface Described {
  readonly name?: unknown
  readonly updated_at: number
  readonly master?: unknown
  readonly lapses_after?: unknown
  readonly dead?: unknown
  readonly config?: unknown
  readonly endpoints?: unknown
}

type End = (exit: ExitCode) => void

/** `kv4 apps`, `hosts`: how applications are to be configured, and where the hosts of services are. */
export function applicationCommands(end: End): readonly Command[] {
  return [appsCommand(end), hostsCommand(end)]
}

function appsCommand(end: End): Command {
  const apps = new Command('apps').description('how applications are to be configured')
  apps.addCommand(
    withDestination(new Command('list'))
      .description('all of them')
      .action((options: Options) =>
        run(end, options, async (to) => {
          const found = await all<Described>(to, options, '/_app', { as: 'values' })
          if (options.json === true) return json(found)
          const rows = found.map((app) => [String(app.name), updated(app), JSON.stringify(app.config)])
          print(table(['name', 'updated', 'config'], rows))
        }),
      ),
    { isDefault: true },
  )
  apps.addCommand(
    withDestination(new Command('get'))
      .description('the description of one')
      .argument('<name>')
      .option('--at <instant>', 'as it was then: ISO 8601 or unix milliseconds')
      .action((k: string, options: Options & { readonly at?: string }) =>
        run(end, options, async (to) => {
          const { envelope } = await ask(to, options, 'GET', '/_app', { k, at: options.at })
          show(options, envelope['v'])
        }),
      ),
  )
  apps.addCommand(
    withDestination(new Command('set'))
      .description('describes one, and replaces what was there')
      .argument('<name>')
      .argument('<description>', '{"config": …}', jsonArgument)
      .action((k: string, v: unknown, options: Options) =>
        run(end, options, async (to) => {
          const { envelope } = await ask(to, options, 'PUT', '/_app', {}, { k, v })
          if (options.json === true) json(envelope['v'])
        }),
      ),
  )
  apps.addCommand(
    withDestination(new Command('remove'))
      .description('removes one; its history stays')
      .argument('<name>')
      .action((k: string, options: Options) =>
        run(end, options, async (to) => void (await ask(to, options, 'DELETE', '/_app', { k }))),
      ),
  )
  apps.addCommand(
    withDestination(new Command('history'))
      .description('what one was, newest first')
      .argument('<name>')
      .action((k: string, options: Options) =>
        run(end, options, async (to) =>
          history(options, await all<Row>(to, options, '/_app', { k, time_series: '1' })),
        ),
      ),
  )
  return apps
}

function hostsCommand(end: End): Command {
  const hosts = new Command('hosts').description(
    'where the hosts of services are; web/h1 is host h1 of service web',
  )
  hosts.addCommand(
    withDestination(new Command('list'))
      .description('the services, or the hosts of one')
      .argument('[service]')
      .option('--master', 'only the one that leads')
      .action((service: string | undefined, options: Options & { readonly master?: boolean }) =>
        run(end, options, async (to) => {
          if (service === undefined) {
            const names = await all<string>(to, options, '/_srv', {})
            if (options.json === true) return json(names)
            return print(
              table(
                ['service'],
                names.map((name) => [name]),
              ),
            )
          }
          const found =
            options.master === true
              ? [(await ask(to, options, 'GET', at(service), { master: '1' })).envelope['v'] as Described]
              : await all<Described>(to, options, at(service), { as: 'values' })
          if (options.json === true) return json(found)
          print(table(['host', 'state', 'master', 'updated', 'endpoints'], found.map(hostRow)))
        }),
      ),
    { isDefault: true },
  )
  hosts.addCommand(
    withDestination(new Command('get'))
      .description('the description of one')
      .argument('<service/host>')
      .option('--at <instant>', 'as it was then: ISO 8601 or unix milliseconds')
      .action((id: string, options: Options & { readonly at?: string }) =>
        run(end, options, async (to) => {
          const { path, k } = split(id)
          const { envelope } = await ask(to, options, 'GET', path, { k, at: options.at })
          show(options, envelope['v'])
        }),
      ),
  )
  hosts.addCommand(
    withDestination(new Command('set'))
      .description('describes one, and replaces what was there')
      .argument('<service/host>')
      .argument('<description>', '{"endpoints": …, "lapses_after": 120}', jsonArgument)
      .action((id: string, v: unknown, options: Options) =>
        run(end, options, async (to) => {
          const { path, k } = split(id)
          const { envelope } = await ask(to, options, 'PUT', path, {}, { k, v })
          if (options.json === true) json(envelope['v'])
        }),
      ),
  )
  hosts.addCommand(
    withDestination(new Command('remove'))
      .description('removes one; its history stays')
      .argument('<service/host>')
      .action((id: string, options: Options) =>
        run(end, options, async (to) => {
          const { path, k } = split(id)
          await ask(to, options, 'DELETE', path, { k })
        }),
      ),
  )
  hosts.addCommand(
    withDestination(new Command('history'))
      .description('what one was, newest first')
      .argument('<service/host>')
      .action((id: string, options: Options) =>
        run(end, options, async (to) => {
          const { path, k } = split(id)
          history(options, await all<Row>(to, options, path, { k, time_series: '1' }))
        }),
      ),
  )
  return hosts
}

type Row = readonly [seconds: number, by: string, v: Described & { readonly _deleted?: true }]

function history(options: Options, rows: readonly Row[]): void {
  if (options.json === true) return json(rows)
  print(
    table(
      ['time', 'by', 'description'],
      rows.map(([seconds, by, v]) => [
        time(seconds * 1000),
        by,
        v._deleted === true ? '(removed)' : JSON.stringify(v),
      ]),
    ),
  )
}

function hostRow(host: Described): readonly string[] {
  const state = typeof host.lapses_after !== 'number' ? '-' : host.dead === true ? 'dead' : 'alive'
  const master = host.master === true ? 'yes' : '-'
  return [String(host.name), state, master, updated(host), JSON.stringify(host.endpoints)]
}

function updated({ updated_at }: Described): string {
  return time(updated_at * 1000)
}

function at(service: string): string {
  return `/_srv/${service}`
}

/** @throws CliFailure */
function split(id: string): { readonly path: string; readonly k: string } {
  const [service = '', host = '', ...more] = id.split('/')
  if (service === '' || host === '' || more.length > 0) throw usage(`${id} is not service/host`)
  return { path: at(service), k: host }
}
