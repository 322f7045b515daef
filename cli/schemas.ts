import { Command } from 'commander'
import type { ExitCode } from './failure'
import { readSource } from './request-body'
import { all, ask, json, print, run, show, time, withDestination, type Options } from './service-command'
import { table } from './table'

const AT = '/_sess/_schemas'

type Row = readonly [seconds: number, by: string, schema: unknown]

/** `kv4 schemas`: what the namespaces of sessions may hold. */
export function schemasCommand(end: (exit: ExitCode) => void): Command {
  const schemas = new Command('schemas').description('what the namespaces of sessions may hold')
  schemas.addCommand(
    withDestination(new Command('list'))
      .description('their names')
      .action((options: Options) =>
        run(end, options, async (to) => {
          const names = await all<string>(to, options, AT, {})
          if (options.json === true) return json(names)
          const rows = names.map((name) => [name])
          print(table(['schema'], rows))
        }),
      ),
    { isDefault: true },
  )
  schemas.addCommand(
    withDestination(new Command('get'))
      .description('one, as it was declared')
      .argument('<name>')
      .option('--at <instant>', 'as it was then: ISO 8601 or unix milliseconds')
      .action((k: string, options: Options & { readonly at?: string }) =>
        run(end, options, async (to) => {
          const { v } = (await ask(to, options, 'GET', AT, { k, at: options.at })).envelope
          if (typeof v === 'string' && options.json !== true) process.stdout.write(v)
          else show(options, v)
        }),
      ),
  )
  schemas.addCommand(
    withDestination(new Command('set'))
      .description('declares one: from then on its namespaces follow it')
      .argument('<name>', 'team.feature.v1')
      .argument('<file>', 'YAML or JSON; - for standard input')
      .action((k: string, file: string, options: Options) =>
        run(end, options, async (to) => {
          const v = file === '-' ? readSource(0, 'standard input') : readSource(file)
          const { envelope } = await ask(to, options, 'PUT', AT, {}, { k, v })
          if (options.json === true) json(envelope['v'])
        }),
      ),
  )
  schemas.addCommand(
    withDestination(new Command('remove'))
      .description('removes one: its namespaces take any object again; its history stays')
      .argument('<name>')
      .action((k: string, options: Options) =>
        run(end, options, async (to) => void (await ask(to, options, 'DELETE', AT, { k }))),
      ),
  )
  schemas.addCommand(
    withDestination(new Command('history'))
      .description('what one was, newest first')
      .argument('<name>')
      .action((k: string, options: Options) =>
        run(end, options, async (to) => {
          const rows = await all<Row>(to, options, AT, { k, time_series: '1' })
          if (options.json === true) return json(rows)
          print(
            table(
              ['time', 'by', 'schema'],
              rows.map(([seconds, by, schema]) => [time(seconds * 1000), by, shown(schema)]),
            ),
          )
        }),
      ),
  )
  return schemas
}

function shown(schema: unknown): string {
  if (typeof schema === 'object' && schema !== null && '_deleted' in schema) return '(removed)'
  return JSON.stringify(schema)
}
