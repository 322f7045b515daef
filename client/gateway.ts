/** Where an account's tokens come from. A program that others can read asks a server of its own instead. */
export interface Gateway {
  /** `https://kv4.example.com` */
  readonly url: string
  readonly user: string
  readonly secret: string
}

/** An error answer of the platform. */
export class GatewayError extends Error {
  constructor(
    readonly code: string,
    readonly status: number,
  ) {
    super(`the platform answered ${code} (${status})`)
    this.name = 'GatewayError'
  }
}

/** What a call answered: its `v`, and the cursor of the next page where there is one. */
export interface GatewayAnswer {
  readonly v: unknown
  readonly next?: string
}

/** Makes a call in the account's name. @throws GatewayError for an answer that is an error; what `fetch` throws */
export async function call(
  gateway: Gateway,
  method: string,
  target: string,
  body?: object,
): Promise<GatewayAnswer> {
  const login = new TextEncoder().encode(`${gateway.user}:${gateway.secret}`)
  const response = await fetch(gateway.url.replace(/\/+$/, '') + target, {
    method,
    headers: {
      Authorization: 'Basic ' + btoa(String.fromCharCode(...login)),
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const { v, s, next } = (await response.json()) as GatewayAnswer & { readonly s: string }
  if (s !== 'ok') throw new GatewayError(String(v), response.status)
  return next === undefined ? { v } : { v, next }
}

async function callForText(gateway: Gateway, method: string, target: string): Promise<string> {
  const { v } = await call(gateway, method, target)
  if (typeof v !== 'string') throw new GatewayError(String(v), 200)
  return v
}

function target(service: string, channel: string, query: Readonly<Record<string, string>>): string {
  const path = channel.split('/').map(encodeURIComponent).join('/')
  return `/${service}/${path}?${new URLSearchParams(query).toString()}`
}

/** A token for a user at a channel, which has to be a namespace. @param expire seconds in which it can be used */
export function requestToken(
  gateway: Gateway,
  channel: string,
  user: string,
  expire: number,
): Promise<string> {
  return callForText(gateway, 'PUT', target('_token', channel, { k: user, expire: String(expire) }))
}

/** The base of the websocket's URL. */
export function requestHost(gateway: Gateway, channel: string, user: string): Promise<string> {
  return callForText(gateway, 'GET', target('_host', channel, { type: 'signal', k: user }))
}
