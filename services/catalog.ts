import { acc } from './acc'
import { data } from './data'
import { ds } from './ds'
import type { ServiceFactory } from './module'
import { ns } from './ns'

/** Every service of the platform: to add one, add its folder and its line here. */
export const CATALOG: readonly ServiceFactory[] = [ns, data, acc, ds]
