import type { Engine } from '../../core'
import { HookBook } from '../hook-book'
import type { Service, ServiceContext } from '../module'
import type { Mount } from '../mount'
import { nesoi } from './compat/mount'
import { NESOI_FORMAT } from './compat/web-hooks'
import { Documents } from './documents'
import { Lapses } from './lapses'
import { apps } from './native/apps'
import { hosts } from './native/hosts'
import { APP_LAYERS, HOST_LAYERS } from './places'

/** What `_app`, `_srv` and the mount have in common, one for all of a platform. */
interface Room {
  readonly documents: Documents
  readonly lapses: Lapses
  readonly book: HookBook
}

const ROOMS = new WeakMap<Engine, Room>()

function roomOf(context: ServiceContext): Room {
  const { engine, onBackgroundError = () => undefined } = context
  let room = ROOMS.get(engine)
  if (room === undefined) {
    const lapses = new Lapses(engine, onBackgroundError)
    const book = HookBook.of(context)
    book.declare(NESOI_FORMAT)
    ROOMS.set(engine, (room = { lapses, documents: new Documents(lapses), book }))
  }
  return room
}

/** `_app`: how applications are to be configured. Model: layer `*app`, the name is a key at the root. */
export function app(context: ServiceContext): Service {
  return {
    name: 'app',
    prefix: '_app',
    layers: APP_LAYERS,
    routes: apps(roomOf(context).documents, context.requireVer ?? false),
  }
}

/** `_srv`: where the hosts of services are. Model: layer `*srv`, the service is the path, the host the key. */
export function srv(context: ServiceContext): Service {
  const { documents, lapses } = roomOf(context)
  return {
    name: 'srv',
    prefix: '_srv',
    layers: HOST_LAYERS,
    routes: hosts(documents, context.requireVer ?? false),
    start: () => lapses.start(),
    stop: () => lapses.stop(),
  }
}

/** `/app` and `/srv`, as the clients of Nesoi know them. */
export function nesoiMount(context: ServiceContext): Mount {
  const { documents, book } = roomOf(context)
  return nesoi(documents, book)
}
