import { Path } from '../../../core'
import type { MountRoute } from '../../mount'
import type { Kind } from '../document'
import { servicePlace } from '../places'

/** A name in a URL of the contract, as a group of a pattern. */
export const NAME = '([0-9a-zA-Z._-]+)'

/** How a pattern ends: one trailing slash is ignored. */
export const SLASH = '/?$'

/** Where in the tree lies what a URL names, by the first group of its pattern: a service is a path, an application a key. */
export function placeIn(kind: Kind): NonNullable<MountRoute['at']> {
  return ([, name]) => (kind === 'srv' ? servicePlace(name!).path : Path.root)
}
