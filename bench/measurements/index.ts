import type { Measurement } from '../measurement'
import { couch } from './couch'
import { form } from './form'
import { get } from './get'
import { json } from './json'
import { latest } from './latest'
import { mixed } from './mixed'
import { put } from './put'
import { registry } from './registry'
import { sess } from './sess'
import { sessionCache } from './session-cache'
import { stats } from './stats'
import { signal } from './signal'
import { tenants } from './tenants'
import { watch } from './watch'

/** In the order of the table. */
export const MEASUREMENTS: readonly Measurement[] = [
  get,
  put,
  mixed,
  latest,
  tenants,
  stats,
  couch,
  registry,
  sess,
  signal,
  watch,
  form,
  json,
  sessionCache,
]
