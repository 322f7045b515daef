import type { TokenKeeper } from '../../auth/token-keeper'
import { Kv4Error, type Engine } from '../../core'
import { SIGNAL, activeHosts } from '../active-hosts'
import type { ExternalCaller, ServiceContext } from '../module'
import type { Mount, MountRoute } from '../mount'
import { patternOf, routeOf, type Endpoint } from './call'
import { STEPS, add, existing, list, remove, type Step } from './places'
import { Refusal } from './refusal'
import { PREFLIGHT, refuse, reply } from './reply'

const HOSTS = ['signal/list', 'wsList']
const TURN = '_turn'
const MAX_BODY = 64 * 1024
const DEFAULT_SECONDS = 60
const MAX_SECONDS = 10 * 366 * 24 * 3600

/**
 * The HTTP API of V2, and of V1 by its aliases, for their clients: its own envelope, parameters in any form, credentials
 * among them. Contract signal §7, §8. Domains, applications and rooms are namespaces, so that tokens, rooms and users are
 * those of V3.
 */
export function v2({ engine, tokens, external, bans }: ServiceContext): Mount {
  const endpoints = [tokenEndpoint(tokens), iceEndpoint(external), ...STEPS.flatMap(placeEndpoints)]
  const paths = [...endpoints.flatMap(({ at }) => at), ...HOSTS]
  return {
    name: 'v2',
    segments: [...new Set(paths.map((path) => path.split('/', 1)[0]!))],
    maxBody: MAX_BODY,
    refuse,
    routes: [
      ...endpoints.map((endpoint) => routeOf(endpoint, bans)),
      signalHosts(engine),
      {
        methods: ['OPTIONS'],
        pattern: patternOf(paths),
        access: 'public',
        summary: 'What browsers ask before they send.',
        run: async () => PREFLIGHT,
      },
    ],
  }
}

function tokenEndpoint(tokens: Pick<TokenKeeper, 'issue'>): Endpoint {
  return {
    methods: ['GET', 'POST'],
    at: ['signal/token', 'getToken'],
    summary: 'A token for `/domain/application/room` and `username`, good for `expire` seconds (60).',
    async run(call) {
      const { parameters, principal } = call
      const path = await existing(call, 'room')
      const user = parameters.get('username')
      const grant = { principal, path, ...(user !== undefined && user !== '' && { user }) }
      const token = await tokens.issue('signal', grant, secondsOf(parameters.get('expire')))
      return { token }
    },
  }
}

/** Contract: asked for without credentials. */
function signalHosts(engine: Engine): MountRoute {
  return {
    methods: ['GET', 'POST'],
    pattern: patternOf(HOSTS),
    access: 'public',
    summary: 'The least loaded host of the signalling socket, as clients reach it.',
    async run(request) {
      const hosts = (await activeHosts(engine)).filter(({ type }) => type === SIGNAL)
      const [best] = hosts.filter((host) => host.public !== undefined).sort((a, b) => a.load - b.load)
      if (best === undefined) throw new Refusal('service_unavailable')
      return reply(request, { value: best.public! })
    },
  }
}

/** The service is asked in the room, with `k` and `expire` as `_token` has them: contract rest §10. */
function iceEndpoint(external: ExternalCaller): Endpoint {
  return {
    methods: ['GET', 'POST'],
    at: ['ice', 'getIceServers'],
    summary: 'Credentials of TURN servers for `timeout` seconds (60): what `_turn` answers.',
    async run(call) {
      const { parameters, principal, remoteAddress, signal } = call
      const path = await existing(call, 'room')
      const user = parameters.get('username')
      const query = {
        ...(user !== undefined && user !== '' && { k: user }),
        expire: String(secondsOf(parameters.get('timeout'))),
      }
      return external.call({ prefix: TURN, method: 'PUT', path, query, principal, remoteAddress, signal })
    },
  }
}

const PLURAL: Readonly<Record<Step, string>> = {
  domain: 'Domains',
  application: 'Applications',
  room: 'Rooms',
}
const SINGULAR: Readonly<Record<Step, string>> = {
  domain: 'Domain',
  application: 'Application',
  room: 'Room',
}

function placeEndpoints(step: Step): readonly Endpoint[] {
  const inside = step === 'domain' ? 'of the account' : `of the ${step === 'room' ? 'application' : 'domain'}`
  return [
    {
      methods: ['GET'],
      at: [step, `list${PLURAL[step]}`],
      summary: `The ${step}s ${inside}.`,
      run: (call) => list(call, step),
    },
    {
      methods: ['POST'],
      at: [step, `add${SINGULAR[step]}`],
      summary: `Makes the ${step}, a namespace.`,
      async run(call) {
        await add(call, step, call.principal.login)
        return {}
      },
    },
    {
      methods: ['DELETE'],
      at: [step],
      summary: `Removes the ${step} and all below it.`,
      async run(call) {
        await remove(call, step, call.principal.login)
        return {}
      },
    },
  ]
}

/** @throws bad_request */
function secondsOf(text: string | undefined): number {
  if (text === undefined || text === '') return DEFAULT_SECONDS
  if (!/^\d{1,9}$/.test(text) || Number(text) > MAX_SECONDS)
    throw new Kv4Error('bad_request', { fields: { reason: 'a number of seconds' } })
  return Number(text)
}
