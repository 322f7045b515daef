import type { Service, ServiceContext } from '../module'
import { read } from './native/read'
import { remove } from './native/remove'
import { schemas } from './native/schemas'
import { settings } from './native/settings'
import { patch, put } from './native/write'
import { LAYERS } from './places'
import { SessionStore } from './store'

export { sessionatorMount } from './compat/mount'

/**
 * `_sess`: sessions, each a bag of documents that are called its namespaces; one is written at a time, whole or by single
 * properties, several are read at once. Model: places.ts.
 */
export function sess(context: ServiceContext): Service {
  const store = SessionStore.of(context)
  const { sessions } = store
  const { requireVer = false } = context
  return {
    name: 'sess',
    prefix: '_sess',
    layers: LAYERS,
    routes: [
      read(sessions),
      put(sessions, requireVer),
      patch(sessions),
      remove(sessions),
      ...schemas(store.schemas, requireVer),
      ...settings(context.engine),
    ],
    start: () => store.start(),
    stop: () => store.stop(),
  }
}
