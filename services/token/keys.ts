import type { TokenKeeper } from '../../auth'
import { route, type Route } from '../module'
import { shownKey } from './shown-key'

/** GET: ours. Nothing that could sign is shown. */
export function keys(tokens: TokenKeeper): Route {
  return route({
    method: 'GET',
    access: 'system',
    summary: 'The keys that tokens are verified with, newest first: the first one signs.',
    async run() {
      return (await tokens.keys()).map(shownKey)
    },
  })
}
