import type { Service } from '../module'
import { create } from './create'
import { ensure } from './ensure'
import { NAMESPACES } from '../namespace'
import { list } from './list'
import { remove } from './remove'

/**
 * `_ns`: the public tree. A namespace is a path that somebody has created; services may use others, so that the tree
 * gives orientation rather than permission. Model: layer `*ns`, one entry per namespace, at its path.
 */
export function ns(): Service {
  return {
    name: 'ns',
    prefix: '_ns',
    layers: [{ name: NAMESPACES, kind: 'versioned', watchable: true }],
    routes: [list, create, ensure, remove],
  }
}
