import { acc } from './acc'
import { app, nesoiMount, srv } from './applications'
import { auth } from './auth'
import { data } from './data'
import { ds } from './ds'
import { hooks } from './hooks'
import { host } from './host'
import type { ServiceFactory } from './module'
import type { MountFactory } from './mount'
import { ns } from './ns'
import { sess, sessionatorMount } from './sess'
import { subs } from './subs'
import { stats } from './stats'
import { token } from './token'
import { conf, reg, registryMount } from './registry'
import { v2 } from './v2'

/** Every service of the platform: to add one, add its folder and its line here. */
export const CATALOG: readonly ServiceFactory[] = [
  ns,
  data,
  acc,
  ds,
  auth,
  stats,
  token,
  host,
  subs,
  reg,
  conf,
  sess,
  hooks,
  app,
  srv,
]

/** The wire formats of the revived systems, beside the envelope. */
export const MOUNTS: readonly MountFactory[] = [registryMount, v2, nesoiMount, sessionatorMount]
