import type { Service, ServiceContext } from '../module'
import { create } from './accounts/create'
import { read as readAccounts } from './accounts/read'
import { remove as removeAccount } from './accounts/remove'
import { update } from './accounts/update'
import { read as readAdmins } from './admins/read'
import { remove as removeAdmin } from './admins/remove'
import { write } from './admins/write'
import { finishDeletions } from './deletion'
import type { AccRoom } from './room'
import { read as readSelf } from './self/read'
import { update as updateSelf } from './self/update'
import { Turns } from '../turns'

/**
 * `_acc`: who may log in. Model: layer `*acc`; at `/accounts` of `$sys` the primary accounts, of a primary's bucket
 * its sub-accounts, with the e-mail address as k2; at `/users/admins` of each bucket its administrators. Each entry is
 * `{profile, proof}`, of which the second half never leaves this service and auth.
 */
export function acc({ engine, keepers }: Pick<ServiceContext, 'engine' | 'keepers'>): Service {
  const room: AccRoom = { ...keepers, engine, turns: new Turns() }
  return {
    name: 'acc',
    prefix: '_acc',
    layers: [{ name: keepers.places.accounts.layer, kind: 'versioned' }],
    routes: [
      readAccounts(room),
      create(room),
      update(room),
      removeAccount(room),
      readAdmins(room),
      write('PUT', room),
      write('POST', room),
      removeAdmin(room),
      readSelf(room),
      updateSelf(room),
    ],
    async start() {
      await finishDeletions(room)
    },
  }
}
