import { Kv4Error, VersionTag, isKv4Error } from '../../core'
import { Reply, route } from '../module'
import { NAMESPACE, namespaceAddress, namespaceAnswer } from '../namespace'

/** PUT: contract §3. A body of any form is accepted and ignored. */
export const create = route({
  method: 'PUT',
  access: 'account',
  summary: 'Creates the namespace; `path_exists` where it is there already.',
  async run({ bucket, path, principal }) {
    try {
      const version = await bucket.put(namespaceAddress(path), NAMESPACE, {
        by: principal.login,
        expect: 'absent',
      })
      return new Reply(namespaceAnswer(version), { created: true, tag: VersionTag.of(version) })
    } catch (error) {
      throw isKv4Error(error, 'version_conflict') ? new Kv4Error('path_exists', { cause: error }) : error
    }
  },
})
