const { default: Sequencer } = require('@jest/test-sequencer')

/** By how long they take, longest first: what is begun last keeps the other workers waiting. */
const LONG = [
  'test/campaign/registry.test.ts',
  'test/services/registry/survival.test.ts',
  'test/core/kv4/couch.test.ts',
  'test/campaign/server-kill.test.ts',
  'test/campaign/retries.test.ts',
  'test/campaign/watch.test.ts',
  'test/core/store/couch.test.ts',
  'test/session-cache/tiers.test.ts',
  'test/services/stats-crash.test.ts',
  'test/campaign/linearizable.test.ts',
  'test/services/registry/two-nodes.test.ts',
  'test/cli/request.test.ts',
  'test/core/kv4/couch-new-keys.test.ts',
  'test/campaign/signals.test.ts',
  'test/services/registry/deaths.test.ts',
  'test/services/applications/lapses.test.ts',
  'test/campaign/kill.test.ts',
  'test/server/lifecycle.test.ts',
]

module.exports = class extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => {
      const at = LONG.findIndex((name) => path.endsWith(name))
      return at === -1 ? LONG.length : at
    }
    return super.sort(tests).sort((a, b) => rank(a) - rank(b))
  }
}
