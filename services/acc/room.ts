import type { LoginKeepers } from '../../auth'
import type { Engine } from '../../core'
import type { Turns } from '../turns'

/** What the routes of this service share. */
export interface AccRoom extends LoginKeepers {
  readonly engine: Engine
  /** By bucket: it is not dropped by one request while another makes it anew. */
  readonly turns: Turns
}
