import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { CallerError, CallerVerifier, TOKEN_HEADER } from '../../service'
import type { Caller } from '../../service'
import { iceServers, timeLimited } from './ice-servers'

export interface TurnServiceOptions {
  /** The platform: where sessions are recorded. */
  readonly platform: string
  /** What calls are signed with, as the registration was answered. */
  readonly key: () => string
  /** Name or address of the TURN server, as clients reach it. */
  readonly turnHost: string
  /** coturn's static-auth-secret. */
  readonly turnSecret: string
  /** How long credentials are good, unless the caller asks for less. */
  readonly seconds: number
  readonly log: (line: string) => void
}

/** What a call may ask for. */
interface Wish {
  /** `k`: whose credentials they are; absent: the caller's. */
  readonly user: string
  readonly seconds: number
}

/** coturn splits at the colon. */
const USER = /^[^:\p{Cc}]{1,128}$/u

/**
 * `PUT /_turn[/path][?k=user][&expire=seconds]`: `{"iceServers": […]}` in the platform's envelope, with credentials that
 * coturn accepts for a while. Each answer counts as a session of the user: measurement `turn:sess` at the path.
 */
export function createTurnService(options: TurnServiceOptions): Server {
  const verifier = new CallerVerifier(options.key)
  return createServer((request, response) => {
    // Clients send `null`, `{}` or nothing; it says nothing either way.
    request.resume()
    let caller: Caller
    try {
      caller = verifier.verify(request)
    } catch (error) {
      if (!(error instanceof CallerError)) throw error
      answer(response, 401, { v: 'unauthorized', s: 'error' })
      return
    }
    if (request.method !== 'PUT') {
      answer(response, 405, { v: 'method_not_allowed', s: 'error' })
      return
    }
    const wish = wishOf(request, caller, options.seconds)
    if (wish === undefined) {
      answer(response, 400, { v: 'bad_request', s: 'error' })
      return
    }
    const credentials = timeLimited(wish.user, wish.seconds, options.turnSecret)
    answer(response, 200, { v: { iceServers: iceServers(options.turnHost, credentials) }, s: 'ok' })
    record(request, caller, wish.user, options).catch((error: unknown) =>
      options.log(`not recorded: ${String(error)}`),
    )
  })
}

/**
 * `expire` is at most what this program gives anyway, and 0 asks for that: nothing here is good for ever. undefined: no
 * such user, or no number of seconds.
 */
function wishOf(request: IncomingMessage, caller: Caller, most: number): Wish | undefined {
  const { searchParams } = new URL(request.url!, 'http://turn')
  const user = searchParams.get('k') || caller.login
  const expire = searchParams.get('expire') || '0'
  if (!USER.test(user) || !/^\d{1,9}$/.test(expire)) return undefined
  return { user, seconds: Number(expire) === 0 ? most : Math.min(most, Number(expire)) }
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body)
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}

/** With the token that came with the call: good for this caller's bucket, and there for the layers of this service. */
async function record(
  request: IncomingMessage,
  caller: Caller,
  user: string,
  { platform }: TurnServiceOptions,
): Promise<void> {
  const path = caller.path === '/' ? '/default' : caller.path
  const { status } = await fetch(`${platform}/_stats${path.split('/').map(encodeURIComponent).join('/')}`, {
    method: 'PUT',
    headers: {
      authorization: `Bearer ${String(request.headers[TOKEN_HEADER])}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify({ l: 'turn:sess', k: user, v: 1 }),
    signal: AbortSignal.timeout(5_000),
  })
  if (status >= 300) throw new Error(`the platform answered ${status}`)
}
