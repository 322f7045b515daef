import { z } from 'zod'
import { Key, Kv4Error, VersionTag, type Json } from '../../core'
import { writeCondition, writeUnder } from '../condition'
import type { HookBook } from '../hook-book'
import { Reply, route, type Route, type ServiceContext, type ServiceRequest } from '../module'
import { ACTIONS, act } from './actions'
import { askedHook } from './asked-hook'
import { shownHook } from './shown-hook'

// Shapes are checked below, where each has a code of its own.
const Body = z
  .object({
    k: z.unknown().describe('string: the name of the hook, unique at its path'),
    v: z
      .unknown()
      .describe(
        '{endpoint, layer?: "*data", depth?, key?, prefix?, events?: [create, update, delete, sample], values?: true, description?}',
      ),
  })
  .partial()
  .nullish()
type Body = z.output<typeof Body>

type Context = Pick<ServiceContext, 'engine' | 'requireVer'>

/** PUT: registers a hook at the path, or changes it. */
export function put(book: HookBook, context: Context): Route {
  return route({
    method: 'PUT',
    access: 'account',
    summary:
      'Registers the hook `k` for changes at the path and below, or changes it. The answer to its creation alone shows its `secret`.',
    input: { body: Body },
    run: (request) => register(book, context, request),
  })
}

/** POST: the same, or with a parameter what is to be done with a hook that is there. */
export function post(book: HookBook, context: Context): Route {
  return route({
    method: 'POST',
    access: 'account',
    summary:
      'As PUT; or of the hook `k`: `replay` sends what happened between `from` and `to` again, `resend` its dead letters (or the one with `id`), `enable` and `disable` it, `rotate` its secret.',
    input: { query: z.object({ k: z.string().optional(), ...ACTIONS }), body: Body },
    async run(request) {
      const answer = await act(book, request)
      return answer ?? (await register(book, context, request))
    },
  })
}

async function register(
  book: HookBook,
  { engine, requireVer = false }: Context,
  request: ServiceRequest<unknown, Body>,
): Promise<Reply> {
  const { body, bucket, path, principal } = request
  if (body?.k === undefined || body.k === null) throw new Kv4Error('key_missing')
  if (typeof body.k !== 'string') throw new Kv4Error('bad_key', { fields: { reason: 'not a string' } })
  const address = { path, name: Key.parse(body.k) }
  const { wanted, ver } = askedHook(engine, path, body.v as Json | undefined)
  const { stored, created } = await writeUnder(
    writeCondition(request, ver, requireVer),
    (expect) =>
      book.put(bucket, address, wanted, { by: principal.login, ...(expect !== undefined && { expect }) }),
    async () => (await book.get(bucket, address, { consistent: true })) === undefined,
  )
  const shown = shownHook(stored)
  const [secret] = book.secrets(bucket.name, stored.hook)
  return new Reply(created ? { ...shown, secret: secret! } : shown, {
    tag: VersionTag.of(stored.version),
    created,
  })
}
