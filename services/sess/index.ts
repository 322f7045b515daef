import type { Service, ServiceContext } from '../module'
import { Lives } from './lives'
import { read } from './native/read'
import { remove } from './native/remove'
import { patch, put } from './native/write'
import { LAYERS } from './places'
import { Sessions } from './sessions'

/**
 * `_sess`: sessions, each a bag of documents that are called its namespaces; one is written at a time, whole or by single
 * properties, several are read at once. Model: places.ts.
 */
export function sess({ requireVer = false, onBackgroundError }: ServiceContext): Service {
  const lives = new Lives(onBackgroundError)
  const sessions = new Sessions(lives, async () => undefined)
  return {
    name: 'sess',
    prefix: '_sess',
    layers: LAYERS,
    routes: [read(sessions), put(sessions, requireVer), patch(sessions), remove(sessions)],
    stop: () => lives.settled(),
  }
}
