import type { Access, Route, Service } from '../../services/module'
import type { Mount } from '../../services/mount'
import type { SocketRoute } from '../../services/socket'
import { catalogued } from './catalogued'
import { type Field, fieldsOf } from './field'
import { type Page, notice, table } from './page'

const ACCESS: Readonly<Record<Access, string>> = {
  account: 'every account, sub-account and administrator, each in its own bucket',
  holder: 'the system, a primary account, or an administrator of one; not a sub-account',
  system: '`$sys` and its administrators',
  public: 'anybody, without a credential',
}

const INTRODUCTION = `# Routes

\`/_service/path/of/any/depth?parameters\`, with HTTP Basic. Answers are \`{"v": …, "s": "ok"}\`, with \`"next"\` where a
listing goes on (send it back as \`after\`), or an [error](errors.md). Unknown parameters are ignored; the bucket is that
of the credential, always. HEAD answers as GET does, without the body.

Who may call a route:
`

/** Names that mean the same wherever a table below has them. */
const EVERYWHERE: readonly (readonly [name: string, meaning: string])[] = [
  ['k', 'The key.'],
  ['k2, k3, k4', 'A secondary key: names the live entry that carries it; unique per path and layer.'],
  ['l', 'The layer, where it is not the one of the service; a `*` may be sent as it is.'],
  ['limit, after', 'A page: how many items, and `next` of the page before.'],
  ['consistent', '`1` reads past the caches: what any node has acknowledged is seen.'],
  [
    'as',
    '`values`: the values instead of the keys. `datum` (or `1`): values with path, layer, owner and version.',
  ],
  ['at', 'As it was at an instant: unix milliseconds or ISO 8601.'],
  [
    'time_series',
    '`1`: the history, newest first, rows of `[unix seconds, login, value]`; it survives deletion.',
  ],
  [
    'gs, ge',
    'First and last period of a history or a statistic, both inclusive: `Y[:M[:D[:h[:m[:s]]]]]`, UTC.',
  ],
  ['ttl', 'Seconds until the entry lapses.'],
]

const HEADERS: readonly (readonly [name: string, meaning: string])[] = [
  [
    'If-Match',
    'The write happens only to this version (its ETag), or with `*` only to an entry that is there.',
  ],
  [
    'If-None-Match',
    'Of a write `*`: only where there is nothing. Of a GET an ETag: 304 while it is still that version.',
  ],
  [
    'Idempotency-Key',
    'Of a write: carried out once, however often it comes within 24 h, and answered as the first time.',
  ],
  ['X-Request-Id', "Is the answer's too, and names the call in the log."],
]

/** docs/routes.md: every route of the catalogue, with its access and its parameters. */
export const routes: Page = {
  file: 'routes.md',
  render() {
    const { services, mounts } = catalogued()
    return [
      notice('services/catalog.ts'),
      INTRODUCTION +
        '\n' +
        Object.entries(ACCESS)
          .map(([rule, who]) => `- **${rule}**: ${who}\n`)
          .join(''),
      'Parameters that mean the same everywhere:\n',
      table(
        ['Name', 'Meaning'],
        EVERYWHERE.map(([name, meaning]) => [name.replaceAll(/\w+/g, '`$&`'), meaning]),
      ),
      'Headers of requests:\n',
      table(
        ['Header', 'Meaning'],
        HEADERS.map(([name, meaning]) => [`\`${name}\``, meaning]),
      ),
      ...services.map(describeService),
      ...mounts.map(describeMount),
    ].join('\n')
  },
}

function describeService(service: Service): string {
  const layers = service.layers.map(({ name, kind }) => `\`${name}\` (${kind})`)
  const head = `## ${service.prefix}\n`
  const about = layers.length === 0 ? 'No layer of its own.\n' : `Layers: ${layers.join(', ')}.\n`
  return [
    head,
    about,
    ...service.routes.map((route) => describeRoute(service, route)),
    ...(service.sockets ?? []).map(describeSocket),
  ].join('\n')
}

function describeSocket({ pattern, access, summary }: SocketRoute): string {
  const url = pattern.source.replaceAll('\\/', '/')
  return [`### Websocket \`${url}\`\n`, `${summary}\n`, `Access: **${access}**.\n`].join('\n')
}

function describeRoute(service: Service, route: Route): string {
  const { method, at, access, tokens = [], summary, input } = route
  const rows = [
    ...rowsOf('query', input?.query === undefined ? [] : fieldsOf(input.query)),
    ...rowsOf('body', input?.body === undefined ? [] : fieldsOf(input.body)),
  ]
  const parts = [
    `### ${method} /${service.prefix}${at ?? '/…'}\n`,
    `${summary}\n`,
    `Access: **${access}**${tokens.map((purpose) => `, or a ${purpose} token`).join('')}.${input?.body === undefined && method !== 'GET' ? ' A body is ignored.' : ''}${route.watch === undefined ? '' : ' Can be [watched](watching.md): `watch=1`.'}\n`,
  ]
  if (rows.length > 0) parts.push(table(['Name', 'In', 'What'], rows))
  return parts.join('\n')
}

function rowsOf(place: string, fields: readonly Field[]): readonly (readonly string[])[] {
  return fields.map(({ name, required, type }) => [
    `\`${name}\``,
    place,
    required ? `${type}; required` : type,
  ])
}

function describeMount(mount: Mount): string {
  const rows = mount.routes.map(({ methods, pattern, access, summary }) => [
    methods.join(', '),
    '`' + pattern.source.replaceAll('\\/', '/') + '`',
    access,
    summary,
  ])
  return [
    `## ${mount.name}\n`,
    `In its own format, below ${mount.segments.map((segment) => `\`/${segment}\``).join(', ')}.\n`,
    table(['Method', 'URL', 'Access', 'What'], rows),
  ].join('\n')
}
