import { Command } from 'commander'
import { setTimeout as wait } from 'node:timers/promises'
import { TRY_AGAIN } from '../client'
import { configurationName } from '../services/registry/configuration-name'
import { absolute } from './entry-address'
import { CliFailure, EXIT, type ExitCode } from './failure'
import { Refused, all, ask, json, print, run, time, withDestination, type Options } from './service-command'
import { printable, table } from './table'

interface Service {
  readonly id: string
  readonly session_id?: string
  readonly heartbeat_timeout?: number
  readonly last_seen?: number | null
  readonly tags: readonly string[]
  readonly metadata: Readonly<Record<string, string>>
}

type Session = Pick<Service, 'id' | 'heartbeat_timeout' | 'last_seen' | 'metadata'>

interface Event {
  readonly id: string
  readonly timestamp: number
  readonly type: string
  readonly payload: unknown
}

const POLL_SECONDS = 30
const RETRY_MS = 1_000
const MOST_RETRY_MS = 30_000

/** `kv4 services`, `sessions`, `conf`, `events`: the registry, as tables for people and JSON for programs. */
export function registryCommands(end: (exit: ExitCode) => void): readonly Command[] {
  return [servicesCommand(end), sessionsCommand(end), confCommand(end), eventsCommand(end)]
}

function servicesCommand(end: (exit: ExitCode) => void): Command {
  return withDestination(new Command('services'))
    .description('the services that live')
    .option('-t, --tag <tag>', 'only those with the tag')
    .action((options: Options & { readonly tag?: string }) =>
      run(end, options, async (to) => {
        const services = await all<Service>(to, options, '/_reg/services', { tag: options.tag })
        if (options.json === true) return json(services)
        const rows = services.map((service) => [
          service.id,
          service.session_id ?? '-',
          ...liveness(service),
          service.tags.join(','),
          pairs(service.metadata),
        ])
        print(table(['id', 'session', 'timeout', 'last seen', 'tags', 'metadata'], rows))
      }),
    )
}

function sessionsCommand(end: (exit: ExitCode) => void): Command {
  return withDestination(new Command('sessions'))
    .description('the sessions that live, with their services')
    .action((options: Options) =>
      run(end, options, async (to) => {
        const found = await all<{ session: Session; services: readonly Service[] }>(
          to,
          options,
          '/_reg/overview',
          {},
        )
        if (options.json === true) return json(found)
        const rows = found.map(({ session, services }) => [
          session.id,
          ...liveness(session),
          services.map(({ id }) => id).join(','),
          pairs(session.metadata),
        ])
        print(table(['id', 'timeout', 'last seen', 'services', 'metadata'], rows))
      }),
    )
}

function confCommand(end: (exit: ExitCode) => void): Command {
  const conf = new Command('conf').description(
    'configuration values; /production/cassandra/host is host in /production/cassandra',
  )
  conf.addCommand(
    withDestination(new Command('list'))
      .description('the values of a namespace, or all')
      .argument('[namespace]', '/production/cassandra', '/')
      .action((namespace: string, options: Options) =>
        run(end, options, async (to) => {
          const values = await all<{ id: string; value: string }>(
            to,
            options,
            `/_conf${absolute(namespace)}`,
            {},
          )
          if (options.json === true) return json(values)
          print(
            table(
              ['id', 'value'],
              values.map(({ id, value }) => [id, value]),
            ),
          )
        }),
      ),
    { isDefault: true },
  )
  conf.addCommand(
    withDestination(new Command('get'))
      .description('one value')
      .argument('<id>')
      .option('--at <instant>', 'as it was then: ISO 8601 or unix milliseconds')
      .action((id: string, options: Options & { readonly at?: string }) =>
        run(end, options, async (to) => {
          const { path, k } = valueAddress(id)
          const { envelope } = await ask(to, options, 'GET', path, { k, at: options.at })
          if (options.json === true) json(envelope['v'])
          else print(String(envelope['v']))
        }),
      ),
  )
  conf.addCommand(
    withDestination(new Command('set'))
      .description('sets a value')
      .argument('<id>')
      .argument('<value>')
      .action((id: string, value: string, options: Options) =>
        run(end, options, async (to) => {
          const { path, k } = valueAddress(id)
          const { envelope } = await ask(to, options, 'PUT', path, {}, { k, v: value })
          if (options.json === true) json(envelope['v'])
        }),
      ),
  )
  conf.addCommand(
    withDestination(new Command('remove'))
      .description('removes a value; its history stays')
      .argument('<id>')
      .action((id: string, options: Options) =>
        run(end, options, async (to) => {
          const { path, k } = valueAddress(id)
          await ask(to, options, 'DELETE', path, { k })
        }),
      ),
  )
  conf.addCommand(
    withDestination(new Command('history'))
      .description('what a value was, newest first')
      .argument('<id>')
      .action((id: string, options: Options) =>
        run(end, options, async (to) => {
          const { path, k } = valueAddress(id)
          const rows = await all<[number, string, string | null]>(to, options, path, { k, time_series: '1' })
          if (options.json === true) return json(rows)
          print(
            table(
              ['time', 'by', 'value'],
              rows.map(([at, by, value]) => [time(at * 1000), by, value ?? '(removed)']),
            ),
          )
        }),
      ),
  )
  return conf
}

function eventsCommand(end: (exit: ExitCode) => void): Command {
  return withDestination(new Command('events'))
    .description('what happened within the last hour, one event a line')
    .option('-f, --follow', 'go on with what happens from now on, until interrupted')
    .option('--after <id>', 'go on behind that event')
    .option('--type <type>', 'only service.join, service.timeout, configuration_value.update …')
    .action(
      (options: Options & { readonly follow?: boolean; readonly after?: string; readonly type?: string }) =>
        run(end, options, async (to) => {
          const { type, follow = false } = options
          let { after } = options
          let failures = 0
          for (;;)
            try {
              const waits = follow && after !== undefined
              const { envelope } = await ask(
                to,
                // An answer that waits for an event is not late.
                waits ? { ...options, timeout: options.timeout + POLL_SECONDS } : options,
                'GET',
                '/_reg/events',
                { after, type, limit: '1000', wait: waits ? String(POLL_SECONDS) : undefined },
              )
              failures = 0
              for (const event of envelope['v'] as readonly Event[]) {
                if (options.json === true) json(event)
                else print(`${time(event.timestamp)}  ${event.type.padEnd(26)}  ${summary(event)}`)
              }
              const next = envelope['next'] as string | undefined
              if (next === after || next === undefined) {
                if (!follow) return
                // Nothing has ever happened here: there is nothing to go on behind yet.
                if (next === undefined) await wait(RETRY_MS)
              }
              after = next
            } catch (error) {
              if (!follow || !isPassing(error)) throw error
              const pause = Math.min(MOST_RETRY_MS, RETRY_MS * 2 ** failures++)
              const waitMs = error instanceof Refused ? Math.max(pause, error.retryAfterMs) : pause
              // What the server itself said is there already.
              const what = error instanceof CliFailure ? `${error.message}; ` : ''
              process.stderr.write(`kv4: ${what}again in ${waitMs / 1000} s\n`)
              await wait(waitMs)
            }
        }),
    )
}

/** A server that restarts, or whose store is away, is waited for: nothing is lost, the place is known. */
function isPassing(error: unknown): boolean {
  if (error instanceof Refused) return TRY_AGAIN.has(error.code)
  return error instanceof CliFailure && error.exit === EXIT.unreachable
}

/** An id with a namespace begins with a slash, whether it is typed or not. */
function valueAddress(id: string): { readonly path: string; readonly k: string } {
  const { path, k } = configurationName(id.includes('/') ? absolute(id) : id)
  return { path: `/_conf${path}`, k }
}

function liveness({ heartbeat_timeout, last_seen }: Partial<Service>): readonly string[] {
  return [
    heartbeat_timeout === undefined ? '-' : `${heartbeat_timeout} s`,
    last_seen === undefined || last_seen === null ? '-' : time(last_seen),
  ]
}

function pairs(metadata: Readonly<Record<string, string>>): string {
  return Object.entries(metadata)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}

function summary({ payload }: Event): string {
  if (Array.isArray(payload)) return payload.map((service: Service) => printable(service.id)).join(', ')
  const { id, configuration_value_id, old_value, new_value } = payload as Readonly<
    Record<string, string | null>
  >
  if (id !== undefined) return printable(String(id))
  const change =
    new_value === undefined ? `${old_value} → (removed)` : `${old_value ?? '(none)'} → ${new_value}`
  return printable(`${configuration_value_id}: ${change}`)
}
