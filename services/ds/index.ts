import type { Service } from '../module'
import { discover } from './discover'

/** `_ds`: which layers, paths and keys the account has. Names only, never values; it has no layer of its own. */
export function ds(): Service {
  return { name: 'ds', prefix: '_ds', layers: [], routes: [discover] }
}
