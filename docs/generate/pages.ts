import { configuration } from './configuration'
import { errors } from './errors'
import type { Page } from './page'
import { routes } from './routes'

/** Every page that is made from the code. */
export const PAGES: readonly Page[] = [errors, routes, configuration]
