import { Key, Kv4Error, Layer, Path, addressIn } from '../../core'
import type { Address, BucketName, LayerDeclaration, Place } from '../../core'

export const APPS = Layer.parse('*app')
export const HOSTS = Layer.parse('*srv')
/** In `$sys`: the hosts of all accounts that may lapse. Path `/<bucket>/<service>`, key: the host. */
export const LAPSES = Layer.parse('*srv:lapses')

export const APP_LAYERS: readonly LayerDeclaration[] = [{ name: APPS, kind: 'versioned', watchable: true }]
export const HOST_LAYERS: readonly LayerDeclaration[] = [
  { name: HOSTS, kind: 'versioned', watchable: true },
  { name: LAPSES, kind: 'current' },
]

/** Where applications are; key: the name. */
export const APPS_PLACE: Place = { layer: APPS, path: Path.root }

/** The word that takes a host's place in the URLs of the contract. */
export const WEB_HOOKS = 'web-hooks'

const NAME = /^[0-9a-zA-Z._-]{1,255}$/

/** As the contract's URLs can hold it. @throws bad_key */
export function parseName(text: string): Key {
  if (!NAME.test(text) || text === '.' || text === '..')
    throw new Kv4Error('bad_key', { fields: { reason: 'a name is 1 to 255 letters, digits, `.`, `_`, `-`' } })
  return Key.parse(text)
}

/** @throws bad_key */
export function appAddress(name: string): Address {
  return { ...APPS_PLACE, key: parseName(name) }
}

/** @throws bad_key */
export function servicePlace(service: string): Place {
  return { layer: HOSTS, path: Path.parse(parseName(service)) }
}

/** @throws bad_key */
export function hostAddress(service: string, host: string): Address {
  if (host === WEB_HOOKS)
    throw new Kv4Error('bad_key', {
      fields: { reason: `\`${WEB_HOOKS}\` is where the hooks of a service are` },
    })
  return addressIn(servicePlace(service), parseName(host))
}

export function lapsePlace(bucket: BucketName, { path }: Place): Place {
  return { layer: LAPSES, path: Path.parse(bucket + path) }
}
