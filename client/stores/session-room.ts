import { GatewayError, call, type Gateway } from '../gateway'
import { keyOf, pathOf } from './session-name'

/** Where a store keeps its things. */
export interface SessionRoomOptions extends Gateway {
  /** Path below which each thing is a session of `_sess`. */
  readonly prefix?: string
  /** The namespace that it has there. Others may add namespaces of their own to the same session. */
  readonly namespace?: string
}

const AT_ONCE = 16
const PAGE = 1_000

/**
 * Things by their keys, each a session of an account with one namespace: what the stores of this folder have in common.
 * @throws GatewayError; what `fetch` throws
 */
export class SessionRoom {
  readonly #gateway: Gateway
  readonly #prefix: string
  readonly #namespace: string

  constructor({ prefix, namespace, ...gateway }: SessionRoomOptions, named: string) {
    this.#gateway = gateway
    this.#prefix = (prefix ?? named).replace(/^\/+|\/+$/g, '')
    this.#namespace = namespace ?? named
    if (this.#prefix === '') throw new TypeError('the prefix is empty')
  }

  /** undefined: there is none, or it has lapsed. */
  async get(key: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    const { v } = (await this.#orMissing('GET', this.#one(key))) ?? {}
    if (v === undefined) return undefined
    const { _ver_, ...document } = v as Record<string, unknown>
    return document
  }

  /** @param ttl milliseconds; absent: as the account has set it, or for good */
  async set(key: string, document: object, ttl?: number): Promise<void> {
    const body = { k: this.#namespace, v: document, ...(ttl !== undefined && { ttl: seconds(ttl) }) }
    await call(this.#gateway, 'PUT', this.#session(key), body)
  }

  /** It lives so long from now. false: there is nothing to prolong. */
  async touch(key: string, ttl: number): Promise<boolean> {
    return (await this.#orMissing('PATCH', this.#session(key), { ttl: seconds(ttl) })) !== undefined
  }

  /** false: there was none. */
  async delete(key: string): Promise<boolean> {
    return (await this.#orMissing('DELETE', this.#one(key))) !== undefined
  }

  async *keys(): AsyncGenerator<string, void, undefined> {
    let after: string | undefined
    do {
      const query = new URLSearchParams({ depth: '9999', limit: String(PAGE), ...(after && { after }) })
      const under = this.#prefix.split('/').map(encodeURIComponent).join('/')
      const { v, next } = await call(this.#gateway, 'GET', `/_sess/${under}?${query.toString()}`)
      for (const path of v as readonly string[]) {
        const key = keyOf(this.#prefix, path)
        if (key !== undefined) yield key
      }
      after = next
    } while (after !== undefined)
  }

  /** Everything that is there; several requests are under way at once. */
  async *entries(): AsyncGenerator<readonly [string, Readonly<Record<string, unknown>>], void, undefined> {
    for await (const keys of this.#portions()) {
      const documents = await Promise.all(keys.map((key) => this.get(key)))
      for (const [i, key] of keys.entries()) if (documents[i] !== undefined) yield [key, documents[i]]
    }
  }

  /** Deletes all, or those of which `isMeant` says so. */
  async clear(isMeant: (key: string) => boolean = () => true): Promise<void> {
    // Listed first: what is deleted on the way would shift the pages.
    const all: string[] = []
    for await (const key of this.keys()) if (isMeant(key)) all.push(key)
    for (let i = 0; i < all.length; i += AT_ONCE)
      await Promise.all(all.slice(i, i + AT_ONCE).map((key) => this.delete(key)))
  }

  async *#portions(): AsyncGenerator<readonly string[], void, undefined> {
    let portion: string[] = []
    for await (const key of this.keys()) {
      portion.push(key)
      if (portion.length < AT_ONCE) continue
      yield portion
      portion = []
    }
    if (portion.length > 0) yield portion
  }

  #session(key: string): string {
    return `/_sess/${pathOf(this.#prefix, key)}`
  }

  #one(key: string): string {
    return `${this.#session(key)}?k=${encodeURIComponent(this.#namespace)}`
  }

  async #orMissing(method: string, target: string, body?: object) {
    try {
      return await call(this.#gateway, method, target, body)
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'not_found') return undefined
      throw error
    }
  }
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms)) / 1000
}
