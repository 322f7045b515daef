import { isAscii } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { isKv4Error } from '../../../core'
import type { Json, Path } from '../../../core'
import type { MountReply, MountRequest } from '../../mount'
import type { Caller } from '../access-tokens'
import { DEFAULT_LIMITS } from '../limits'
import type { Usage } from '../quotas'
import { RateExceeded } from '../quotas'
import type { Registry } from '../registry'
import { Refusal, badParameter, badRequest, unauthorized } from './fault'

type Header = readonly [name: string, value: string]

const JSON_TYPE: Header = ['Content-Type', 'application/json; charset=UTF-8']
const NO_STORE: Header = ['Cache-Control', 'no-store']
const NO_SNIFFING: Header = ['X-Content-Type-Options', 'nosniff']
const RATE_OF_ALL: Header = ['X-Ratelimit-Path-Regex', '/.*']
const USAGE_OF_NOBODY: Usage = { ...DEFAULT_LIMITS.rate, used: 0, replyAfter: 0 }
const INDENT = 4
const UTF8 = new TextDecoder('utf-8', { fatal: true })
const PROCESS = randomBytes(3).toString('base64url')
let count = 0

/** `.rh-qyek.h-kv4.r-q3i5psGp.c-3.ts-1347320188220.v-0.1`: contract §5. */
function transactionId(): string {
  count++
  return `.rh-${PROCESS}.h-kv4.r-${count.toString(36).padStart(8, '0')}.c-${count}.ts-${Date.now()}.v-0.1`
}

/** What is known of a request that a mount answers, from its arrival to its reply. */
export class Call {
  readonly id = transactionId()
  #usage: Usage | undefined
  #parameters: URLSearchParams | undefined

  private constructor(readonly request: MountRequest) {}

  static of(request: MountRequest): Call {
    request.kept ??= new Call(request)
    return request.kept as Call
  }

  /** @throws Refusal for percent encoding that is none */
  get parameters(): URLSearchParams {
    if (this.#parameters === undefined) {
      decoded(this.request.rawQuery)
      this.#parameters = new URLSearchParams(this.request.rawQuery)
    }
    return this.#parameters
  }

  /**
   * Who was admitted to the place with this token when he asked last, for this tenant. Whether he may still come in is not
   * asked.
   */
  admittedBefore({ tokens }: Registry, named: string | undefined, place: string): Caller | undefined {
    const token = this.#token
    const caller = token ? tokens.peek(token)?.admitted.get(place) : undefined
    return caller?.tenant.id === this.#tenantId(named) ? caller : undefined
  }

  /** The headers are on every reply of `/v1.0` (contract §5), also where it is not known yet whose requests to count. */
  get #usageOfNobody(): Usage | undefined {
    return this.request.rawPath.startsWith('/v1.0') ? USAGE_OF_NOBODY : undefined
  }

  // Not by `parameters`: what is wrong with the query is told only to those who are known.
  get #token(): string | null {
    return (
      header(this.request.headers['x-auth-token']) ??
      new URLSearchParams(this.request.rawQuery).get('x-auth-token')
    )
  }

  #tenantId(named: string | undefined): string | undefined {
    return named ?? header(this.request.headers['x-tenant-id'])
  }

  /**
   * By the token; the tenant that is named has to be the token's. Counts the request.
   * @param at of what is asked for, as of a `MountRequest`
   * @param place under which `admittedBefore` knows of it from now on
   * @throws Refusal, too_many_requests, forbidden
   */
  async caller(
    registry: Registry,
    named: string | undefined,
    { at, place }: { readonly at?: () => Path; readonly place?: string | undefined } = {},
  ): Promise<Caller> {
    const { request } = this
    const { headers } = request
    const tenantId = this.#tenantId(named)
    if (tenantId === undefined) throw unauthorized('No tenant id provided')
    const token = this.#token
    if (!token) throw unauthorized('No authentication token provided')
    const opened = registry.tokens.peek(token) ?? (await registry.tokens.open(token))
    if (opened === undefined) throw unauthorized('Invalid or expired authentication token')
    const { user, secret } = opened.credential
    let principal
    try {
      principal = await request.authenticate(user, secret, at)
    } catch (error) {
      if (place !== undefined) opened.admitted.delete(place)
      if (isKv4Error(error, 'unauthorized')) await registry.tokens.end(token)
      throw error
    }
    const tenant = registry.tenants.peek(principal.bucket) ?? (await registry.tenants.of(principal.bucket))
    if (tenant.id !== tenantId) throw unauthorized('Invalid or expired authentication token')
    try {
      this.#usage = await registry.quotas.consume(principal.bucket)
    } catch (error) {
      if (error instanceof RateExceeded) this.#usage = error.usage
      throw error
    }
    const sent = headers['content-type']
    if (sent !== undefined && sent !== 'application/json') {
      const type = sent.split(';')[0]!.trim().toLowerCase()
      if (type !== '' && type !== 'application/json') throw badRequest(`Unsupported content type: ${type}`)
    }
    const caller = { bucket: request.bucketOf(principal), login: principal.login, tenant }
    if (place !== undefined) opened.admitted.set(place, caller)
    return caller
  }

  /** The JSON of the body, whatever its Content-Type says; none is `{}`. @throws Refusal, body_too_large */
  async body(): Promise<unknown> {
    const bytes = await this.request.body()
    try {
      // A TextDecoder is dearer to call, and few of these bodies need one.
      const text = isAscii(bytes) ? bytes.toString('latin1') : UTF8.decode(bytes)
      return text.trim() === '' ? {} : JSON.parse(text)
    } catch (error) {
      throw badRequest(
        `Failed to parse request body: ${error instanceof SyntaxError ? 'not JSON' : 'not UTF-8'}`,
      )
    }
  }

  /** @throws Refusal */
  limit(): number {
    const sent = this.parameters.get('limit')
    if (sent === null || sent === '') return 100
    const refuse = (details: string) =>
      new Refusal({ type: 'invalidLimit', message: 'Invalid limit', details })
    if (!/^-?\d{1,15}$/.test(sent)) throw refuse('Limit must be a number')
    const limit = Number(sent)
    if (limit < 1 || limit > 1000)
      throw refuse(`Invalid limit ${limit}. Minimum limit is 1 and maximum limit is 1000.`)
    return limit
  }

  reply(status: number, body?: Json, headers: readonly Header[] = []): MountReply {
    const all: Header[] = []
    if (body !== undefined) all.push(JSON_TYPE)
    all.push(['X-Response-Id', this.id])
    const usage = this.#usage ?? this.#usageOfNobody
    if (usage !== undefined) addRate(all, usage)
    all.push(NO_STORE, NO_SNIFFING)
    for (const header of headers) all.push(header)
    return body === undefined
      ? { status, headers: all }
      : { status, headers: all, body: JSON.stringify(body, undefined, INDENT) }
  }

  /** A page in the contract's form (§4). */
  list(values: readonly Json[], limit: number, marker: string | null, next: string | undefined): MountReply {
    const { origin, rawPath, rawQuery } = this.request
    let href: string | null = null
    if (next !== undefined) {
      const parameters = new URLSearchParams(rawQuery)
      parameters.set('marker', next)
      href = `${origin}${rawPath}?${parameters.toString()}`
    }
    const metadata = { count: values.length, limit, marker, next_marker: next ?? null, next_href: href }
    return this.reply(200, { values, metadata })
  }
}

/** A part of the URL. @throws Refusal */
export function decoded(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    throw badRequest('URI malformed')
  }
}

/** An id in the path. @throws Refusal in the name that the original gives to it */
export function idIn(text: string, name: string, isId: (id: string) => boolean): string {
  const id = decoded(text)
  if (!isId(id)) throw badParameter(name)
  return id
}

/** `24.0 hours`: contract §11. What is no tenth of an hour has more digits, rather than none. */
export function hours(seconds: number): string {
  const hours = seconds / 3600
  return `${hours < 0.05 ? hours.toPrecision(2) : hours.toFixed(1)} hours`
}

function header(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function addRate(headers: Header[], { limit, used, window, replyAfter }: Usage): void {
  headers.push(
    RATE_OF_ALL,
    ['X-Ratelimit-Limit', String(limit)],
    ['X-Ratelimit-Used', String(used)],
    ['X-Ratelimit-Window', hours(window)],
    ['X-Ratelimit-Reply-After', String(replyAfter)],
  )
}
