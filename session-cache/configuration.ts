import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { SessionCacheError } from './errors'
import type { ConnectionLimits } from './framed-connection'
import type { TableShape } from './shared-table'

// The seed's configuration files are taken as they are, its misspelt names too; what we do not know of them is left
// alone, as the original does. What we add is in snake case like theirs.

const ServerTls = z.object({
  server_key: z.string(),
  server_cert: z.string(),
  /** Certificates (or their issuer's) of the clients that are let in. */
  client_cert: z.union([z.string(), z.array(z.string())]).optional(),
})
export type ServerTls = z.infer<typeof ServerTls>

const ClientTls = z.object({
  client_key: z.string().optional(),
  /** What the seed's files call the key of `client_cert`. */
  server_key: z.string().optional(),
  client_cert: z.string().optional(),
  server_cert: z.union([z.string(), z.array(z.string())]),
})
export type ClientTls = z.infer<typeof ClientTls>

const Limits = z
  .object({
    frame_bytes: z.number().int().min(1024),
    frames_per_second: z.number().int().min(0),
    backlog_bytes: z.number().int().min(65536),
    connections: z.number().int().min(1),
  })
  .partial()

const whole = z.number().int()

const Cache = z.object({
  token_path: z.string().optional(),
  /** Where the table lies. Default /dev/shm. */
  directory: z.string().optional(),
  am_initializer: z.boolean().optional(),
  seed: whole.default(0),
  record_size: whole.min(16).default(384),
  el_count: whole.min(1).default(20_000),
  /** false: no timed sweep; a number: ms between two. Default: every second. */
  evictions_timeout: z.union([z.boolean(), z.number().min(10)]).optional(),
  /** ms. Default: sessions live until they are pushed out. */
  sessions_length: z.number().min(0).default(0),
  aged_out_secs: z.number().min(0).default(0),
  /** Sessions that one sweep puts out for their age. */
  max_evictions: whole.min(1).default(20),
  /**
   * A read is noted when the last note is older. Default: a quarter of `aged_out_secs`, or else of the time after which
   * unused records are put out at present; a minute at most.
   */
  touch_ms: z.number().min(0).optional(),
  /** Bytes of what each process keeps of its own of the sessions that it reads most; 0: nothing. */
  hot_bytes: whole.min(0).default(8 * 1024 * 1024),
})
export type CacheConfiguration = z.infer<typeof Cache>

export const Kv4 = z.object({
  url: z.url({ protocol: /^https?$/ }),
  user: z.string().min(1),
  secret: z.string().min(1),
  /** How long "KV4 has no such session" is believed, ms. */
  negative_ms: z.number().min(0).default(1000),
  timeout_ms: z.number().min(1).default(3000),
})
export type Kv4Configuration = z.infer<typeof Kv4>

const Lru = z.object({
  manage_section: z.boolean().optional(),
  auth_path: z.string().optional(),
  token_path: z.string().optional(),
  cache: Cache.prefault({}),
  eviction_schedule: z
    .object({
      time_sfhit: z.coerce.number().optional(),
      time_shift: z.coerce.number().optional(),
      max_evicts: z.coerce.number().optional(),
      intrerval: z.coerce.number().optional(),
      interval: z.coerce.number().optional(),
    })
    .optional(),
  kv4: Kv4.optional(),
})
export type LruConfiguration = z.infer<typeof Lru>

const MessageRelay = z.object({
  auth_path: z.string().optional(),
  address: z.string().default('localhost'),
  port: whole.min(1).max(65535).default(7878),
  uds_path: z.string().optional(),
  tls: z.union([ClientTls, z.literal(false)]).optional(),
  secret: z.string().min(16).optional(),
  age_or_replica: z.enum(['replicating', 'age-out']).default('replicating'),
  /** Of this relief server, the same after a restart: keys are spread by it. Default: host name and table. */
  name: z.string().max(128).optional(),
  max_pending: whole.min(1).default(1000),
  timeout_ms: z.number().min(1).default(2000),
  /** The longest pause between two attempts to connect. */
  reconnect_ms: z.number().min(10).default(5000),
  limits: Limits.default({}),
})
export type MessageRelayConfiguration = z.infer<typeof MessageRelay>

const Peer = MessageRelay.extend({ port: whole.min(1).max(65535).default(7880) })
export type PeerConfiguration = z.infer<typeof Peer>

const Listener = {
  auth_path: z.string().default('auths'),
  address: z.string().default('localhost'),
  /** A socket of the file system to listen on instead of address and port. */
  uds_path: z.string().optional(),
  tls: z.union([ServerTls, z.literal(false)]).optional(),
  /** What a client has to say first. */
  secret: z.string().min(16).optional(),
  /** Lets anybody in who reaches the port. */
  insecure: z.boolean().default(false),
  limits: Limits.default({}),
  /** How long the tiers behind are waited for when a session is looked for, ms. */
  lookup_ms: z.number().min(1).default(500),
  kv4: Kv4.optional(),
}

const Relay = z.object({
  edge_supported_relay: z.literal(true),
  ...Listener,
  port: whole.min(0).max(65535).default(7878),
  path_types: z.record(
    z.string(),
    z.object({
      relay: z
        .object({
          /** A sibling as a child process. */
          proc_name: z.union([z.string(), z.array(z.string()).min(2).max(2)]).optional(),
          /** Siblings that run elsewhere. */
          peers: z.array(Peer).min(1).optional(),
        })
        .default({}),
      cache: Cache.prefault({}),
    }),
  ),
})
export type RelayConfiguration = z.infer<typeof Relay>

const Sibling = z.object({
  half_edge: z.literal(true),
  ...Listener,
  port: whole.min(0).max(65535).default(7880),
  /** Relief servers that keep each session. */
  copies: whole.min(1).max(16).default(2),
  cache: Cache.prefault({}),
})
export type SiblingConfiguration = z.infer<typeof Sibling>

const Relief = z.object({ lru: Lru, message_relay: MessageRelay, kv4: Kv4.optional() })
export type ReliefConfiguration = z.infer<typeof Relief>

export type TierConfiguration =
  | ({ readonly tier: 'relay' } & RelayConfiguration)
  | ({ readonly tier: 'sibling' } & SiblingConfiguration)
  | ({ readonly tier: 'relief' } & ReliefConfiguration)

/** @throws bad_configuration: it cannot be read, too */
export function readTierConfiguration(file: string): TierConfiguration {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new SessionCacheError('bad_configuration', `${file}: ${(error as Error).message}`, error)
  }
  return tierConfiguration(json)
}

/** Which tier a configuration file is for, in the order in which the original looks. @throws bad_configuration */
export function tierConfiguration(json: unknown): TierConfiguration {
  const flags = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>
  if (flags['full_edge'] !== true && flags['half_edge'] === true)
    return { tier: 'sibling', ...parse(Sibling, json) }
  if (flags['full_edge'] !== true && flags['edge_supported_relay'] === true) {
    const relay = parse(Relay, json)
    if (!Object.hasOwn(relay.path_types, relay.auth_path))
      throw new SessionCacheError('bad_configuration', `path_types lacks "${relay.auth_path}"`)
    return { tier: 'relay', ...relay }
  }
  return { tier: 'relief', ...parse(Relief, json) }
}

/** @throws bad_configuration */
export function lruConfiguration(json: unknown): LruConfiguration {
  return parse(Lru, json)
}

/** @throws bad_configuration */
export function messageRelayConfiguration(json: unknown): MessageRelayConfiguration {
  return parse(MessageRelay, json)
}

export function shapeOf(cache: CacheConfiguration): TableShape {
  return {
    recordSize: cache.record_size,
    capacity: cache.el_count,
    sessionsLength: cache.sessions_length,
    agedOut: cache.aged_out_secs * 1000,
  }
}

/** None: the table goes by what is put out at present. */
export function touchOf(cache: CacheConfiguration): { readonly touchMs?: number } {
  if (cache.touch_ms !== undefined) return { touchMs: cache.touch_ms }
  return cache.aged_out_secs === 0 ? {} : { touchMs: Math.min(60_000, cache.aged_out_secs * 250) }
}

/** undefined: no sweep. */
export function sweepMsOf(cache: CacheConfiguration): number | undefined {
  if (cache.evictions_timeout === false) return undefined
  return typeof cache.evictions_timeout === 'number' ? cache.evictions_timeout : 1000
}

export function limitsOf(limits: z.infer<typeof Limits>, recordSize: number): ConnectionLimits {
  return {
    // A value may grow to six times its size when it is written as JSON.
    frameBytes: limits.frame_bytes ?? Math.max(65_536, recordSize * 6 + 8192),
    framesPerSecond: limits.frames_per_second ?? 20_000,
    backlogBytes: limits.backlog_bytes ?? 8 * 1024 * 1024,
  }
}

function parse<T>(schema: z.ZodType<T>, json: unknown): T {
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  throw new SessionCacheError('bad_configuration', `${path.join('.') || 'the whole'}: ${message}`)
}
