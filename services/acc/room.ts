import type { LoginKeepers } from '../../auth'
import type { Engine } from '../../core'
import type { Turns } from './turns'

/** What the routes of this service share. */
export interface AccRoom extends LoginKeepers {
  readonly engine: Engine
  /** One creation or deletion of an account at a time. */
  readonly turns: Turns
}
