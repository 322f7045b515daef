import type { Bans } from '../../auth/bans'
import type { Principal } from '../../auth/principal'
import { Kv4Error, type Bucket, type Json, type Path } from '../../core'
import type { MountRequest, MountRoute } from '../mount'
import { parametersOf, type Parameters } from './parameters'
import { reply } from './reply'

/** A call whose caller has proved himself. */
export interface Call {
  readonly parameters: Parameters
  readonly principal: Principal
  readonly bucket: Bucket
  readonly remoteAddress: string
  /** The URL names no path of the tree, so nobody has looked yet. @throws forbidden where the path is denied the caller */
  readonly checkBans: (path: Path) => Promise<void>
  /** Ends when the caller has gone. */
  readonly signal: AbortSignal
}

export interface Endpoint {
  readonly methods: readonly string[]
  /** Paths that mean it, the one of the documentation first. */
  readonly at: readonly string[]
  readonly summary: string
  /** The value of `d`. @throws Refusal, errors of the platform */
  readonly run: (call: Call) => Promise<Json>
}

/** An endpoint as a route; `ident` and `secret` are parameters like the others. */
export function routeOf({ methods, at, summary, run }: Endpoint, bans: Pick<Bans, 'check'>): MountRoute {
  return {
    methods,
    pattern: patternOf(at),
    // Decided below, as the credential is among the parameters.
    access: 'public',
    summary: `${summary} By \`ident\` and \`secret\`.`,
    run: async (request) => reply(request, await run(await authenticated(request, bans))),
  }
}

export function patternOf(paths: readonly string[]): RegExp {
  return new RegExp(`^/(?:${paths.join('|')})/?$`)
}

async function authenticated(request: MountRequest, bans: Pick<Bans, 'check'>): Promise<Call> {
  const parameters = await parametersOf(request)
  const [ident, secret] = [parameters.get('ident'), parameters.get('secret')]
  if (ident === undefined || secret === undefined) throw new Kv4Error('unauthorized')
  const principal = await request.authenticate(ident, secret)
  const { remoteAddress, signal } = request
  return {
    parameters,
    principal,
    bucket: request.bucketOf(principal),
    remoteAddress,
    checkBans: (path) => bans.check(principal.bucket, path, remoteAddress),
    signal,
  }
}
