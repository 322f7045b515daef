// What the command line shows without loading what validates it: config.ts.

/** One name of the configuration: an environment variable, and a flag of the same spelling (`KV4_DATA_DIR` ↔ `--data-dir`). */
export interface Setting {
  /** Text as it would stand in the environment; undefined: unset, and `unset` says what happens then. */
  readonly default?: string
  readonly unset?: string
  readonly meaning: string
  /** Never printed. */
  readonly secret?: boolean
}

/** Every name there is, in the order of the documentation. */
export const SETTINGS = {
  KV4_PORT: { default: '4006', meaning: 'Port to listen on; 0 takes a free one.' },
  KV4_HOST: { default: '127.0.0.1', meaning: 'Address to listen on.' },
  KV4_COUCHDB_URL: {
    unset: 'the embedded store',
    meaning: 'CouchDB to keep the data in, with its credentials: `http://user:password@host:5984`.',
    secret: true,
  },
  KV4_DATA_DIR: {
    default: './data',
    meaning: 'Directory of the embedded store, and of the pepper where KV4_PEPPER is unset.',
  },
  KV4_SYS_SECRET: {
    unset: 'made and printed once at the first start',
    meaning:
      'Secret of `$sys`, the account that makes accounts; 1 to 256 printable ASCII characters; take a long one where others can reach the server.',
    secret: true,
  },
  KV4_PEPPER: {
    unset: 'made at the first start and kept in KV4_DATA_DIR/pepper (mode 0600)',
    meaning:
      'Key under which secrets are hashed, at least 32 characters; the same on every node of one CouchDB, and never changed. Set it to keep it apart from the data.',
    secret: true,
  },
  KV4_NODE: { unset: 'the host name', meaning: 'Name of this node, unique among those of one CouchDB.' },
  KV4_STATUS: {
    default: 'rest',
    meaning:
      '`rest` answers with HTTP status codes, `always200` with 200 for everything, as clients of the original expect.',
  },
  KV4_REQUIRE_VER: { default: '0', meaning: '`1`: an update of a live entry must name its `_ver_`.' },
  KV4_STATS_FLUSH_MS: { default: '15000', meaning: 'How often counted calls are written, in ms.' },
  KV4_TRUST_PROXY: {
    unset: 'none',
    meaning: 'Comma-separated addresses or CIDR ranges of proxies whose X-Forwarded-For is believed.',
  },
  KV4_PUBLIC_WS_URL: {
    unset: '`ws://…/ws` with the host and port of KV4_NODE_URL',
    meaning:
      'Websocket base that `_host` names to clients: `wss://signal.example.com/ws`; they append `/v2/<token>`.',
  },
  KV4_NODE_URL: {
    unset: 'made of KV4_HOST, or the host name where that is every address, and the port',
    meaning: 'URL under which other nodes reach this one: `http://10.0.0.5:4006`.',
  },
  KV4_HOST_BEAT_MS: {
    default: '5000',
    meaning:
      'How often a node says that it is there, in ms; after three beats that did not come it counts as dead.',
  },
  KV4_ORIGINS: {
    unset: 'any',
    meaning:
      'Comma-separated origins of the pages that may open websockets: `https://app.example.com`. What is no page sends none, and may.',
  },
  KV4_SERVICE_ALLOW: {
    unset: 'every public address, none that is private or of this machine',
    meaning:
      'Comma-separated addresses or CIDR ranges, the only ones to which calls to external services are sent: `127.0.0.0/8,10.0.0.0/8`.',
  },
  KV4_SERVICE_TIMEOUT_MS: {
    default: '30000',
    meaning: 'How long an external service may leave a call without an answer, or without more of it, in ms.',
  },
  KV4_HOOKS_ALLOW: {
    unset: 'none',
    meaning:
      'Comma-separated addresses or CIDR ranges that webhooks may be sent to although they are private or of this machine: `10.0.0.0/8`. Public ones always may.',
  },
  KV4_HOOKS_RETRIES_MS: {
    default: '5000,300000,1800000,7200000,18000000,36000000,50400000,72000000,86400000',
    meaning:
      'Comma-separated: how long to wait after each try of a webhook that failed, in ms (up to a tenth more, by chance); after the last the event is a dead letter.',
  },
  KV4_HOOKS_TIMEOUT_MS: {
    default: '15000',
    meaning: 'How long the endpoint of a webhook may take for its answer, in ms.',
  },
  KV4_HOOKS_LEASE_MS: {
    default: '15000',
    meaning: 'How long after a node was last heard of others deliver its webhooks, in ms.',
  },
  KV4_MOUNT_LOGINS: {
    unset: 'none: every call needs a credential of its own',
    meaning:
      'Blank-separated `mount=user:secret`: in whose name a call without a credential acts on the URLs of that mount, for clients of a system that had no logins: `nesoi=elena:secret`. Whoever reaches the port then acts as that account there.',
    secret: true,
  },
  KV4_WATCH_MAX: {
    default: '20000',
    meaning:
      'Watches (streams, polls that wait, those of sockets) at once on this node; each stream is a connection.',
  },
  KV4_WATCH_PER_ACCOUNT: {
    default: '5000',
    meaning: 'Watches at once on this node of one primary account, its sub-accounts included.',
  },
  KV4_STREAM_BEAT_MS: {
    default: '15000',
    meaning: 'After how much silence a stream of events shows that it is alive, in ms.',
  },
  KV4_STREAM_STALL_MS: {
    default: '10000',
    meaning:
      'How long the reader of a stream may leave what was sent untaken before the stream is ended, in ms.',
  },
  KV4_SCHEMAS_DIR: {
    unset: 'none',
    meaning:
      'Directory of schemas for the sessions of every account, one a file: `team.feature.v1.yaml`; looked at every second. An account’s own schema of the same name counts before it.',
  },
  KV4_PLUGINS: { unset: 'none', meaning: 'Comma-separated packages that each export a service.' },
  KV4_LOG_LEVEL: {
    default: 'info',
    meaning: '`fatal`, `error`, `warn`, `info`, `debug` (one line per request), `trace` or `silent`.',
  },
  KV4_COUCHDB_GRACE_MS: {
    default: '10000',
    meaning: 'How long reads go on from the cache while CouchDB does not answer, in ms.',
  },
  KV4_OPEN_BUCKETS: {
    unset: '10000 on the embedded store, 500 on CouchDB',
    meaning: 'Buckets that are held open (cache and feed) at once; the least recently used closes first.',
  },
  KV4_CACHE_MB: { default: '256', meaning: 'Memory for the caches of all buckets together, in MiB.' },
  KV4_MAX_CONNECTIONS: { default: '10000', meaning: 'Connections accepted at once.' },
  KV4_DRAIN_MS: { default: '10000', meaning: 'How long requests under way may take at SIGTERM, in ms.' },
} as const satisfies Record<string, Setting>

export type SettingName = keyof typeof SETTINGS

export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[]

export function flagOf(name: SettingName): string {
  return '--' + name.slice('KV4_'.length).toLowerCase().replaceAll('_', '-')
}

/** Everything that is wrong with a configuration at once; never the value of a secret. */
export class ConfigError extends Error {
  constructor(readonly problems: readonly string[]) {
    super('The configuration is not usable:\n' + problems.map((problem) => `  ${problem}`).join('\n'))
    this.name = 'ConfigError'
  }
}
