import { BucketName, Key, Path } from '../../../core'
import type { Channel } from '../../../services/subs/channel'
import type { Cluster } from '../../../services/subs/cluster/cluster'
import { DIALECTS } from '../../../services/subs/dialects'
import type { Presence } from '../../../services/subs/presence'
import { Router, type Seat } from '../../../services/subs/router'

/** Which nodes a message goes to while presence and announcements arrive in whatever order. */

const CHANNEL: Channel = { bucket: BucketName.of('elena'), path: Path.parse('/room') }
const BOB = Key.parse('bob')

interface World {
  readonly router: Router
  /** Nodes that the messages went to, in order. */
  readonly sent: string[]
  readonly say: () => void
}

async function openWorld(): Promise<World> {
  const sent: string[] = []
  const presence = {
    start: () => undefined,
    hold: async () => undefined,
    release: () => undefined,
    enter: async () => undefined,
    leave: async () => undefined,
    cleanUp: async () => undefined,
    usersOf: async () => [],
  } as unknown as Presence
  const cluster: Cluster = {
    others: new Map(),
    send: (node) => void sent.push(node),
    announce: async () => true,
    start: async () => undefined,
    stop: async () => undefined,
  }
  const router = new Router({
    presence,
    cluster,
    onBackgroundError(error) {
      throw error
    },
  })
  await router.start()
  const member = {
    user: Key.parse('alice'),
    login: 'elena',
    address: '127.0.0.1',
    socket: { send: () => undefined, close: () => undefined },
    dialect: DIALECTS.v2,
    since: 1,
    wantsGaps: true,
  }
  const seat = (await router.enter(CHANNEL, member, () => true)) as Seat
  return { router, sent, say: () => void seat.say('{"t":"u","m":{"o":"x"},"p":1}') }
}

const remote = (epoch: string, n: number) => ({ since: 1, epoch, n })

test('a node that has announced itself is told, whatever the feed still says of its life before', async () => {
  const { router, sent, say } = await openWorld()
  router.arrived(CHANNEL, 'node-b', BOB, remote('first', 1))
  router.gone('node-b', 'first')
  router.announced('node-b', 'second', CHANNEL)
  say()
  // What was left behind is taken away, and the feed tells of it late.
  router.left(CHANNEL, 'node-b', BOB, 2)
  say()
  router.arrived(CHANNEL, 'node-b', BOB, remote('second', 3))
  router.left(CHANNEL, 'node-b', BOB, 4)
  say()
  expect(sent).toEqual(['node-b', 'node-b', 'node-b'])
})

test('the end of a life is not the end of the one after it', async () => {
  const { router, sent, say } = await openWorld()
  router.announced('node-b', 'second', CHANNEL)
  router.gone('node-b', 'first')
  say()
  router.gone('node-b', 'second')
  say()
  expect(sent).toEqual(['node-b'])
})
