import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { BlockList, isIP } from 'node:net'
import { z } from 'zod'
import { ConfigError, SETTINGS, SETTING_NAMES, flagOf } from './settings'
import type { Setting, SettingName } from './settings'

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

/** In whose name a call without a credential acts. */
export interface MountLogin {
  readonly user: string
  readonly password: string
}

/** What the environment and the flags say, validated. */
export interface Config {
  readonly port: number
  readonly host: string
  readonly couchdbUrl?: string
  /** Absolute. */
  readonly dataDir: string
  readonly sysSecret?: string
  readonly pepper?: string
  readonly node: string
  readonly status: 'rest' | 'always200'
  readonly requireVer: boolean
  readonly statsFlushMs: number
  readonly trustProxy: readonly string[]
  readonly publicWsUrl?: string
  readonly nodeUrl?: string
  readonly hostBeatMs: number
  readonly serviceAllow: readonly string[]
  readonly serviceTimeoutMs: number
  readonly hooksAllow: readonly string[]
  readonly hooksRetriesMs: readonly number[]
  readonly hooksTimeoutMs: number
  readonly hooksLeaseMs: number
  /** Empty: any. */
  readonly origins: readonly string[]
  /** By the mount's name. */
  readonly mountLogins: Readonly<Record<string, MountLogin>>
  readonly watchMax: number
  readonly watchPerAccount: number
  readonly streamBeatMs: number
  readonly streamStallMs: number
  /** Absolute. */
  readonly schemasDir?: string
  readonly plugins: readonly string[]
  readonly logLevel: (typeof LOG_LEVELS)[number]
  readonly couchdbGraceMs: number
  readonly openBuckets?: number
  readonly cacheMb: number
  readonly maxConnections: number
  readonly drainMs: number
}

const whole = (least: number, most: number) =>
  z
    .string()
    .regex(/^\d{1,10}$/, 'is not a whole number')
    .transform(Number)
    .refine((n) => n >= least && n <= most, `is not from ${least} to ${most}`)

/** The rest of a password, which would be taken for a path and shown as one. */
const UNESCAPED = /^[a-z]+:\/\/[^/?#]*[/?#].*@/i

const url = (...protocols: readonly string[]) =>
  z.string().refine(
    (text) => {
      try {
        return protocols.includes(new URL(text).protocol) && !UNESCAPED.test(text)
      } catch {
        return false
      }
    },
    {
      error: ({ input }) =>
        UNESCAPED.test(String(input))
          ? 'has characters in user or password that must be %-escaped (`/` is %2F, `?` %3F, `#` %23, `@` %40)'
          : `is not a URL with ${protocols.map((protocol) => protocol + '//').join(' or ')}`,
    },
  )

const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
)

/** `https://app.example.com`, as browsers write it; `null` is that of pages without one. */
function isOrigin(text: string): boolean {
  try {
    return text === 'null' || new URL(text).origin === text.toLowerCase()
  } catch {
    return false
  }
}

const MOUNT_LOGIN = /^([a-z][a-z0-9_.-]*)=([^:=]+):(.+)$/

const SCHEMAS = {
  KV4_PORT: whole(0, 65_535),
  KV4_HOST: z.string().regex(/^[^\s/]{1,255}$/, 'is not an address or a host name'),
  KV4_COUCHDB_URL: url('http:', 'https:').optional(),
  KV4_DATA_DIR: z
    .string()
    .min(1, 'is empty')
    .transform((directory) => resolve(directory)),
  KV4_SYS_SECRET: z
    .string()
    .regex(
      /^(?!!)(?!.*#)[\x21-\x7e]{1,256}$/,
      'is not 1 to 256 printable ASCII characters without `#` and a leading `!`',
    )
    .optional(),
  KV4_PEPPER: z.string().min(32, 'has fewer than 32 characters').optional(),
  KV4_NODE: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/, 'is not 1 to 64 letters, digits, `.`, `_`, `-`'),
  KV4_STATUS: z.enum(['rest', 'always200'], 'is neither rest nor always200'),
  KV4_REQUIRE_VER: z.enum(['0', '1'], 'is neither 0 nor 1').transform((text) => text === '1'),
  KV4_STATS_FLUSH_MS: whole(100, 3_600_000),
  KV4_TRUST_PROXY: list.refine(
    (ranges) => ranges.every((range) => addRange(new BlockList(), range)),
    'holds something that is neither an address nor a CIDR range',
  ),
  KV4_PUBLIC_WS_URL: url('ws:', 'wss:').optional(),
  KV4_NODE_URL: url('http:', 'https:').optional(),
  KV4_HOST_BEAT_MS: whole(50, 600_000),
  KV4_ORIGINS: list.refine((origins) => origins.every(isOrigin), 'holds something that is no origin'),
  KV4_SERVICE_ALLOW: list.refine(
    (ranges) => ranges.every((range) => addRange(new BlockList(), range)),
    'holds something that is neither an address nor a CIDR range',
  ),
  KV4_SERVICE_TIMEOUT_MS: whole(50, 3_600_000),
  KV4_HOOKS_ALLOW: list.refine(
    (ranges) => ranges.every((range) => addRange(new BlockList(), range)),
    'holds something that is neither an address nor a CIDR range',
  ),
  KV4_HOOKS_RETRIES_MS: list
    .refine(
      (waits) => waits.length <= 32 && waits.every((wait) => /^\d{1,9}$/.test(wait)),
      'is not up to 32 numbers of ms',
    )
    .transform((waits) => waits.map(Number)),
  KV4_HOOKS_TIMEOUT_MS: whole(50, 120_000),
  KV4_HOOKS_LEASE_MS: whole(200, 600_000),
  KV4_MOUNT_LOGINS: z
    .string()
    .transform((text) => text.split(/\s+/).filter((item) => item !== ''))
    .refine((items) => items.every((item) => MOUNT_LOGIN.test(item)), 'is not `mount=user:secret` …')
    .transform((items) => items.map((item) => MOUNT_LOGIN.exec(item)!.slice(1) as [string, string, string]))
    .refine((items) => new Set(items.map(([mount]) => mount)).size === items.length, 'names a mount twice')
    .transform((items): Readonly<Record<string, MountLogin>> =>
      Object.fromEntries(items.map(([mount, user, password]) => [mount, { user, password }])),
    ),
  KV4_WATCH_MAX: whole(0, 10_000_000),
  KV4_WATCH_PER_ACCOUNT: whole(0, 10_000_000),
  KV4_STREAM_BEAT_MS: whole(100, 600_000),
  KV4_STREAM_STALL_MS: whole(100, 600_000),
  KV4_SCHEMAS_DIR: z
    .string()
    .min(1, 'is empty')
    .transform((directory) => resolve(directory))
    .optional(),
  KV4_PLUGINS: list,
  KV4_LOG_LEVEL: z.enum(LOG_LEVELS, `is none of ${LOG_LEVELS.join(', ')}`),
  KV4_COUCHDB_GRACE_MS: whole(0, 3_600_000),
  KV4_OPEN_BUCKETS: whole(1, 1_000_000).optional(),
  KV4_CACHE_MB: whole(1, 65_536),
  KV4_MAX_CONNECTIONS: whole(1, 1_000_000),
  KV4_DRAIN_MS: whole(0, 600_000),
} satisfies Record<SettingName, z.ZodType>

/** Adds an address or CIDR range to a block list. false: it is neither. */
export function addRange(ranges: BlockList, text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const version = isIP(address)
  if (version === 0 || rest.length > 0) return false
  const family = version === 4 ? 'ipv4' : 'ipv6'
  if (bits === undefined) {
    ranges.addAddress(address, family)
    return true
  }
  if (!/^\d{1,3}$/.test(bits) || Number(bits) > (version === 4 ? 32 : 128)) return false
  ranges.addSubnet(address, Number(bits), family)
  return true
}

const BY_FLAG = new Map(SETTING_NAMES.map((name) => [flagOf(name), name]))

/**
 * Reads `--port 4006` and `--port=4006`, in any order.
 * @param problems what is wrong is added here
 */
function readFlags(args: readonly string[], problems: string[]): Partial<Record<SettingName, string>> {
  const found: Partial<Record<SettingName, string>> = {}
  for (let i = 0; i < args.length; i++) {
    const [flag = '', ...rest] = args[i]!.split('=')
    const name = BY_FLAG.get(flag)
    if (name === undefined) {
      // Not the whole argument: what follows `=` may be a secret.
      problems.push(`${flag} is not a flag of kv4; kv4 config lists them`)
      if (rest.length === 0 && i + 1 < args.length && !args[i + 1]!.startsWith('--')) i++
      continue
    }
    const value = rest.length > 0 ? rest.join('=') : args[++i]
    if (value === undefined) problems.push(`${flag} lacks a value`)
    else if (found[name] !== undefined) problems.push(`${flag} is given twice`)
    else found[name] = value
  }
  return found
}

function readEnvironment(env: NodeJS.ProcessEnv, problems: string[]): Partial<Record<SettingName, string>> {
  const found: Partial<Record<SettingName, string>> = {}
  for (const [name, value] of Object.entries(env)) {
    // KV4_TEST_… speaks to the tests, KV4_PROFILE… and KV4_USER to the command line client.
    if (!name.startsWith('KV4_') || name.startsWith('KV4_TEST_') || CLIENT_NAMES.has(name)) continue
    if (!(name in SETTINGS)) problems.push(`${name} is not a setting of kv4; kv4 config lists them`)
    else if (value !== undefined && value !== '') found[name as SettingName] = value
  }
  return found
}

// Read by cli/, which may share an environment with the server.
const CLIENT_NAMES: ReadonlySet<string> = new Set(['KV4_URL', 'KV4_USER', 'KV4_PROFILE'])

/**
 * The configuration of a server; a flag wins over the environment, and an empty variable counts as unset.
 * @param args flags only, without the command
 * @throws ConfigError with every problem found
 */
export function readConfig(env: NodeJS.ProcessEnv, args: readonly string[] = []): Config {
  const problems: string[] = []
  const given = { ...readEnvironment(env, problems), ...readFlags(args, problems) }

  function read<Name extends SettingName>(name: Name): z.output<(typeof SCHEMAS)[Name]> {
    const setting: Setting = SETTINGS[name]
    const text = given[name] ?? setting.default ?? (name === 'KV4_NODE' ? nodeName() : undefined)
    const parsed = SCHEMAS[name].safeParse(text ?? (LISTS.has(name) ? '' : undefined))
    if (!parsed.success) {
      const shown = setting.secret === true || text === undefined ? '' : ` ${JSON.stringify(text)}`
      problems.push(`${name}${shown} ${parsed.error.issues[0]?.message ?? 'is not understood'}`)
    }
    return parsed.data as z.output<(typeof SCHEMAS)[Name]>
  }

  const couchdbUrl = read('KV4_COUCHDB_URL')
  const sysSecret = read('KV4_SYS_SECRET')
  const pepper = read('KV4_PEPPER')
  const publicWsUrl = read('KV4_PUBLIC_WS_URL')
  const nodeUrl = read('KV4_NODE_URL')
  const openBuckets = read('KV4_OPEN_BUCKETS')
  const schemasDir = read('KV4_SCHEMAS_DIR')
  const config: Config = {
    port: read('KV4_PORT'),
    host: read('KV4_HOST'),
    ...(couchdbUrl === undefined ? {} : { couchdbUrl }),
    dataDir: read('KV4_DATA_DIR'),
    ...(sysSecret === undefined ? {} : { sysSecret }),
    ...(pepper === undefined ? {} : { pepper }),
    node: read('KV4_NODE'),
    status: read('KV4_STATUS'),
    requireVer: read('KV4_REQUIRE_VER'),
    statsFlushMs: read('KV4_STATS_FLUSH_MS'),
    trustProxy: read('KV4_TRUST_PROXY'),
    ...(publicWsUrl === undefined ? {} : { publicWsUrl }),
    ...(nodeUrl === undefined ? {} : { nodeUrl }),
    hostBeatMs: read('KV4_HOST_BEAT_MS'),
    serviceAllow: read('KV4_SERVICE_ALLOW'),
    serviceTimeoutMs: read('KV4_SERVICE_TIMEOUT_MS'),
    hooksAllow: read('KV4_HOOKS_ALLOW'),
    hooksRetriesMs: read('KV4_HOOKS_RETRIES_MS'),
    hooksTimeoutMs: read('KV4_HOOKS_TIMEOUT_MS'),
    hooksLeaseMs: read('KV4_HOOKS_LEASE_MS'),
    origins: read('KV4_ORIGINS'),
    mountLogins: read('KV4_MOUNT_LOGINS'),
    watchMax: read('KV4_WATCH_MAX'),
    watchPerAccount: read('KV4_WATCH_PER_ACCOUNT'),
    streamBeatMs: read('KV4_STREAM_BEAT_MS'),
    streamStallMs: read('KV4_STREAM_STALL_MS'),
    ...(schemasDir === undefined ? {} : { schemasDir }),
    plugins: read('KV4_PLUGINS'),
    logLevel: read('KV4_LOG_LEVEL'),
    couchdbGraceMs: read('KV4_COUCHDB_GRACE_MS'),
    ...(openBuckets === undefined ? {} : { openBuckets }),
    cacheMb: read('KV4_CACHE_MB'),
    maxConnections: read('KV4_MAX_CONNECTIONS'),
    drainMs: read('KV4_DRAIN_MS'),
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return Object.freeze(config)
}

const LISTS: ReadonlySet<SettingName> = new Set([
  'KV4_HOOKS_ALLOW',
  'KV4_SERVICE_ALLOW',
  'KV4_TRUST_PROXY',
  'KV4_MOUNT_LOGINS',
  'KV4_ORIGINS',
  'KV4_PLUGINS',
])

function nodeName(): string {
  return (
    hostname()
      .replace(/[^A-Za-z0-9._-]/g, '-')
      .slice(0, 64) || 'kv4'
  )
}

/** What `kv4 config` prints: name, value in force (of a secret only whether it is set), meaning. */
export interface SettingInForce {
  readonly name: SettingName
  readonly flag: string
  readonly value: string
  readonly meaning: string
}

const FIELDS = {
  KV4_PORT: 'port',
  KV4_HOST: 'host',
  KV4_COUCHDB_URL: 'couchdbUrl',
  KV4_DATA_DIR: 'dataDir',
  KV4_SYS_SECRET: 'sysSecret',
  KV4_PEPPER: 'pepper',
  KV4_NODE: 'node',
  KV4_STATUS: 'status',
  KV4_REQUIRE_VER: 'requireVer',
  KV4_STATS_FLUSH_MS: 'statsFlushMs',
  KV4_TRUST_PROXY: 'trustProxy',
  KV4_PUBLIC_WS_URL: 'publicWsUrl',
  KV4_NODE_URL: 'nodeUrl',
  KV4_HOST_BEAT_MS: 'hostBeatMs',
  KV4_ORIGINS: 'origins',
  KV4_SERVICE_ALLOW: 'serviceAllow',
  KV4_SERVICE_TIMEOUT_MS: 'serviceTimeoutMs',
  KV4_HOOKS_ALLOW: 'hooksAllow',
  KV4_HOOKS_RETRIES_MS: 'hooksRetriesMs',
  KV4_HOOKS_TIMEOUT_MS: 'hooksTimeoutMs',
  KV4_HOOKS_LEASE_MS: 'hooksLeaseMs',
  KV4_MOUNT_LOGINS: 'mountLogins',
  KV4_WATCH_MAX: 'watchMax',
  KV4_WATCH_PER_ACCOUNT: 'watchPerAccount',
  KV4_STREAM_BEAT_MS: 'streamBeatMs',
  KV4_STREAM_STALL_MS: 'streamStallMs',
  KV4_SCHEMAS_DIR: 'schemasDir',
  KV4_PLUGINS: 'plugins',
  KV4_LOG_LEVEL: 'logLevel',
  KV4_COUCHDB_GRACE_MS: 'couchdbGraceMs',
  KV4_OPEN_BUCKETS: 'openBuckets',
  KV4_CACHE_MB: 'cacheMb',
  KV4_MAX_CONNECTIONS: 'maxConnections',
  KV4_DRAIN_MS: 'drainMs',
} as const satisfies Record<SettingName, keyof Config>

export function describe(config: Config): readonly SettingInForce[] {
  return SETTING_NAMES.map((name) => {
    const setting: Setting = SETTINGS[name]
    const value = config[FIELDS[name]]
    let shown: string
    if (value === undefined || (typeof value === 'object' && Object.keys(value).length === 0))
      shown = `(${setting.unset})`
    else if (name === 'KV4_COUCHDB_URL' && typeof value === 'string') shown = withoutCredentials(value)
    else if (setting.secret === true) shown = '(set)'
    else if (typeof value === 'boolean') shown = value ? '1' : '0'
    else shown = typeof value === 'object' ? Object.values(value).join(',') : String(value)
    return { name, flag: flagOf(name), value: shown, meaning: setting.meaning }
  })
}

/** A URL fit for logs. */
export function withoutCredentials(text: string): string {
  const parsed = new URL(text)
  parsed.username = ''
  parsed.password = ''
  parsed.search = ''
  return parsed.href
}
