import { Path, type JsonObject } from '../../../core'
import { configurationName } from '../configuration-name'
import type { Registry } from '../registry'
import { configurationValue, isConfigurationId, isNamespace } from '../rules'
import { decoded } from './call'
import { Refusal, badParameter } from './fault'
import { listed, location } from './endpoint'
import type { Endpoint } from './endpoint'

const NAME = 'configurationId'

/**
 * What stands behind `/configuration/`: an id, or a namespace when it ends in a slash. node and python put a namespaced
 * id there with its own slash, which makes two, java without; both are the same id (contract §9).
 */
type Target =
  { readonly kind: 'value'; readonly id: string } | { readonly kind: 'namespace'; readonly prefix: string }

function targetOf(text: string): Target {
  const sent = decoded(text)
  if (sent === '') return { kind: 'namespace', prefix: '' }
  const id = sent.includes('/') && !sent.startsWith('/') ? `/${sent}` : sent
  if (id === '/') throw badParameter(NAME)
  if (!id.endsWith('/')) {
    if (!isConfigurationId(id)) throw badParameter(NAME)
    return { kind: 'value', id }
  }
  const prefix = id.slice(0, -1)
  if (!isNamespace(prefix)) throw badParameter(NAME)
  return { kind: 'namespace', prefix }
}

function valueId(text: string | undefined): string {
  const target = targetOf(text ?? '')
  if (target.kind !== 'value') throw badParameter(NAME)
  return target.id
}

/**
 * Where `_conf` has it. A namespace as routing reads paths, without empty segments: what is in it must not be listed by
 * another spelling of it.
 */
function placeOf([text]: readonly string[]): Path {
  try {
    const target = targetOf(text ?? '')
    return target.kind === 'value' ? configurationName(target.id).path : Path.parse(target.prefix)
  } catch (error) {
    // `run` refuses it, once the call counts against the rate: contract §5.
    if (error instanceof Refusal) return Path.root
    throw error
  }
}

export function configurationRoutes({ configuration }: Registry): readonly Endpoint[] {
  return [
    {
      method: 'GET',
      path: '/configuration(?:/(.*))?',
      at: placeOf,
      summary:
        'A value, or with a slash at its end the values of a namespace; paged by `limit` and `marker`.',
      async run(call, { bucket }, [text]) {
        const target = targetOf(text ?? '')
        if (target.kind === 'namespace')
          return listed(call, async (asked) => {
            const page = await configuration.list(bucket, { prefix: target.prefix, ...asked })
            return { ...page, items: page.items.map((item): JsonObject => ({ ...item })) }
          })
        const { id } = target
        return call.reply(200, { id, value: await configuration.get(bucket, id) })
      },
    },
    {
      method: 'PUT',
      path: '/configuration/(.*)',
      at: placeOf,
      summary: 'Sets a value; writing what is there is not a change.',
      async run(call, caller, [text]) {
        const id = valueId(text)
        await configuration.put(caller.bucket, caller.login, id, configurationValue(await call.body()))
        return call.reply(204, undefined, [location(call, caller, 'configuration', id)])
      },
    },
    {
      method: 'DELETE',
      path: '/configuration/(.*)',
      at: placeOf,
      summary: 'Removes a value.',
      async run(call, { bucket, login }, [text]) {
        await configuration.remove(bucket, login, valueId(text))
        return call.reply(204)
      },
    },
  ]
}
