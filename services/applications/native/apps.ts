import { Kv4Error, Path } from '../../../core'
import { route, type Route } from '../../module'
import type { Documents } from '../documents'
import { APPS, APPS_PLACE, appAddress } from '../places'
import {
  EntryBody,
  ReadQuery,
  RemoveQuery,
  WriteQuery,
  nameIn,
  readAll,
  readOne,
  remove,
  write,
} from './entry'

/** `/_app`: names are keys at the root, and there is nothing below. */
export function apps(documents: Documents, requireVer: boolean): readonly Route[] {
  const writes = (method: 'PUT' | 'POST'): Route =>
    route({
      method,
      access: 'account',
      summary:
        'Describes the application `k`: `v` is an object with `config`, and replaces what was there. `updated_at` (unix seconds): only if nothing newer is known.',
      input: { query: WriteQuery, body: EntryBody },
      run(request) {
        requireRoot(request.path)
        const address = appAddress(nameIn(request.body?.k))
        return write(documents, 'app', address, request, requireVer)
      },
    })
  return [
    route({
      method: 'GET',
      access: 'account',
      summary:
        'The application `k`, `at` an instant too; without `k` all names, `as=values` all descriptions. `time_series=1`: the history, within `gs` and `ge`.',
      input: { query: ReadQuery },
      watch({ path }) {
        requireRoot(path)
        return { layer: APPS, depth: 0 }
      },
      async run(request) {
        requireRoot(request.path)
        const { k } = request.query
        return k === undefined ? readAll(request, APPS_PLACE) : readOne(request, appAddress(nameIn(k)))
      },
    }),
    writes('PUT'),
    writes('POST'),
    route({
      method: 'DELETE',
      access: 'account',
      summary:
        'Removes the application `k`; answers 1. Its history stays. `updated_at`: only if nothing newer is known.',
      input: { query: RemoveQuery },
      async run(request) {
        requireRoot(request.path)
        return remove(documents, appAddress(nameIn(request.query.k)), request)
      },
    }),
  ]
}

function requireRoot(path: Path): void {
  if (path !== Path.root)
    throw new Kv4Error('not_found', { fields: { reason: 'an application is named by `k`' } })
}
