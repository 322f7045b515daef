import { VersionTag, type Version } from '../core'
import { Reply } from './module'
import { verText, withVer } from './ver'

// A longer text is not kept beside the value, which would double what a cached entry takes.
const MAX_TEXT = 64 * 1024

/**
 * Versions are immutable, and the cache hands out the same one until it is replaced: so its answer is made and
 * serialised once, and goes when the version does.
 */
const replies = new WeakMap<Version, Reply>()

/** The answer to a read of one entry. */
export function entryReply(version: Version): Reply {
  const known = replies.get(version)
  if (known !== undefined) return known
  const text = verText(version)
  const reply = new Reply(() => withVer(version), { tag: VersionTag.of(version), text })
  if (text.length <= MAX_TEXT) replies.set(version, reply)
  return reply
}

/** The answer to a write of one entry. */
export function writtenReply(version: Version): Reply {
  return new Reply(() => withVer(version), {
    tag: VersionTag.of(version),
    text: verText(version),
    created: version.op === 'create',
  })
}
