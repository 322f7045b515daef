import { VersionTag, isKv4Error } from '../../core'
import { Reply, route } from '../module'
import { NAMESPACE, namespaceAddress, namespaceAnswer } from '../namespace'

/** POST updates what is there (contract §1); as a namespace has nothing to update, it only sees to it that it is there. */
export const ensure = route({
  method: 'POST',
  access: 'account',
  summary: 'Creates the namespace unless it is there; answers alike.',
  async run({ bucket, path, principal }) {
    const address = namespaceAddress(path)
    for (;;) {
      const current = await bucket.get(address)
      if (current !== undefined) return new Reply(namespaceAnswer(current), { tag: VersionTag.of(current) })
      try {
        const version = await bucket.put(address, NAMESPACE, { by: principal.login, expect: 'absent' })
        return new Reply(namespaceAnswer(version), { created: true, tag: VersionTag.of(version) })
      } catch (error) {
        // Somebody else created it just now, so reading it again finds it.
        if (!isKv4Error(error, 'version_conflict')) throw error
      }
    }
  },
})
