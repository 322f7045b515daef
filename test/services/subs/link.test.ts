import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import { BucketName, Path } from '../../../core'
import type { Channel } from '../../../services/subs/channel'
import { Inbox } from '../../../services/subs/cluster/inbox'
import { Link } from '../../../services/subs/cluster/link'
import type { Message } from '../../../services/subs/message'
import { seeded } from '../../campaign/random'
import { Wire } from './wire'

/** From node to node: each message once and in order over connections that break, or a word that some are missing. */

const channel = (path: string): Channel => ({ bucket: BucketName.of('elena'), path: Path.parse(path) })
const ROOM = channel('/room')

const message = (payload: number | string): Message => ({
  from: 'alice',
  service: '"u"',
  head: '"o":"count"',
  payload: JSON.stringify(payload),
})

type Told =
  | { readonly kind: 'message'; readonly path: string; readonly payload: string }
  | { readonly kind: 'announced'; readonly path: string }
  | { readonly kind: 'gap'; readonly paths: readonly string[] | undefined }

interface World {
  readonly told: Told[]
  readonly wire: Wire
  readonly link: Link
  /** Passes on whatever can be, and lets both sides work, until nothing moves any more. */
  settle(): Promise<void>
  payloads(): number[]
  gaps(): (readonly string[] | undefined)[]
}

const open = new Set<Link>()
afterEach(() => {
  for (const link of open) link.end()
  open.clear()
})

function openWorld(work: () => Promise<void> = async () => undefined): World {
  const told: Told[] = []
  const inbox = new Inbox('other', {
    async message(_node, { path }, { payload }) {
      await work()
      told.push({ kind: 'message', path, payload })
    },
    announced: (_node, { path }) => told.push({ kind: 'announced', path }),
    gap: (_node, channels) => told.push({ kind: 'gap', paths: channels?.map(({ path }) => path) }),
  })
  const wire = new Wire(() => inbox.listener())
  const link = new Link({
    url: 'ws://other/_subs/link',
    dial: wire.dial,
    authorization: () => `made ${wire.dialled}`,
  })
  open.add(link)
  return {
    told,
    wire,
    link,
    async settle() {
      for (let still = 0; still < 10; still++) {
        let moved = false
        while (wire.forth() || wire.back()) moved = true
        await turn()
        if (moved) still = 0
      }
    },
    payloads: () => told.flatMap((each) => (each.kind === 'message' ? [Number(each.payload)] : [])),
    gaps: () => told.flatMap((each) => (each.kind === 'gap' ? [each.paths] : [])),
  }
}

/** Until the link has dialled again, which it does after a pause. */
async function redialled(world: World, before: number): Promise<void> {
  const end = Date.now() + 15_000
  while (world.wire.dialled === before && Date.now() < end) await wait(5)
  await world.settle()
}

const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

test('dials with the first message, proves itself anew each time, and keeps the order', async () => {
  const world = openWorld()
  expect(world.wire.dialled).toBe(0)
  for (const i of count(100)) world.link.send(ROOM, message(i))
  await world.settle()
  expect(world.payloads()).toEqual(count(100))
  world.wire.cut()
  world.link.send(ROOM, message(100))
  await redialled(world, 1)
  expect(world.payloads()).toEqual(count(101))
  expect(world.wire.headers).toEqual([{ Authorization: 'made 0' }, { Authorization: 'made 1' }])
  expect(world.gaps()).toEqual([])
})

test.each(count(25).map((i) => i + 1))(
  'delivers each once, in order and without a gap over connections that break anywhere (seed %i)',
  async (seed) => {
    const random = seeded(seed)
    const world = openWorld(async () => (random() < 0.2 ? turn() : undefined))
    const { wire, link } = world
    let next = 0
    const total = 400
    while (next < total) {
      const move = random()
      if (move < 0.5) link.send(ROOM, message(next++))
      else if (move < 0.75) wire.forth()
      else if (move < 0.9) wire.back()
      else if (move < 0.98) await turn()
      else {
        const before = wire.dialled
        wire.cut()
        if (random() < 0.5) for (let i = 0; i < 30 && wire.dialled === before; i++) await wait(5)
      }
    }
    const end = Date.now() + 10_000
    while (world.payloads().length < total && Date.now() < end) {
      await world.settle()
      await wait(5)
    }
    expect(world.payloads()).toEqual(count(total))
    expect(world.gaps()).toEqual([])
    expect(wire.dialled).toBeGreaterThan(1)
  },
  20_000,
)

test('says which channels miss something when more piled up than is kept', async () => {
  const world = openWorld()
  world.link.send(ROOM, message(0))
  await world.settle()
  const before = world.wire.dialled
  world.wire.cut()
  const kept = 20_000
  world.link.send(channel('/early'), message(1))
  world.link.send(channel('/also'), message(2))
  for (const i of count(kept)) world.link.send(ROOM, message(3 + i))
  await redialled(world, before)
  await world.settle()
  // Not the room, of which everything is there.
  expect(world.gaps()).toEqual([['/early', '/also']])
  expect(world.payloads()).toEqual([0, ...count(kept).map((i) => 3 + i)])
  // The word comes before what comes after the gap.
  expect(world.told.findIndex(({ kind }) => kind === 'gap')).toBe(1)
}, 20_000)

test('says that anything may be missing when it is too many channels to name', async () => {
  const world = openWorld()
  for (const i of count(1_001)) world.link.send(channel(`/early/${i}`), message(i))
  for (const i of count(20_000)) world.link.send(ROOM, message(i))
  await redialled(world, 0)
  await world.settle()
  expect(world.gaps()).toEqual([undefined])
  expect(world.payloads()).toEqual(count(20_000))
}, 20_000)

test('keeps no more than 16 MiB for a node that does not answer', async () => {
  const world = openWorld()
  for (const i of count(300)) world.link.send(channel(`/room/${i}`), message(String(i).repeat(30_000)))
  await redialled(world, 0)
  await world.settle()
  const [gap] = world.gaps()
  const delivered = world.told.flatMap((each) => (each.kind === 'message' ? [each.path] : []))
  expect(gap!.length).toBeGreaterThan(0)
  expect([...gap!, ...delivered]).toEqual(count(300).map((i) => `/room/${i}`))
  const bytes = world.told.reduce((sum, each) => sum + (each.kind === 'message' ? each.payload.length : 0), 0)
  expect(bytes).toBeLessThanOrEqual(16 * 1024 * 1024)
  expect(bytes).toBeGreaterThan(14 * 1024 * 1024)
}, 20_000)

test('a gap whose word was lost, too, is noticed by the numbers', async () => {
  const world = openWorld()
  const { wire, link } = world
  link.send(ROOM, message(0))
  await world.settle()
  wire.cut()
  link.send(channel('/early'), message(1))
  for (const i of count(20_000)) link.send(ROOM, message(2 + i))
  await turn()
  // The other node says what it has; the word of the gap and all that follows are on their way as it breaks.
  while (!wire.back()) await turn()
  expect(wire.connection!.dialled.sent.length).toBeGreaterThan(20_000)
  wire.cut()
  await redialled(world, wire.dialled)
  await world.settle()
  expect(world.gaps()).toEqual([undefined])
  expect(world.payloads()).toEqual([0, ...count(20_000).map((i) => 2 + i)])
}, 20_000)

test('an announcement is answered once it has been dealt with, and false where nobody answers', async () => {
  const world = openWorld()
  const announced = world.link.announce(ROOM, 1_000)
  await world.settle()
  expect(await announced).toBe(true)
  expect(world.told).toEqual([{ kind: 'announced', path: '/room' }])
  world.wire.isDown = true
  world.wire.cut()
  let late = 0
  expect(await world.link.announce(ROOM, 20, () => late++)).toBe(false)
  expect(late).toBe(0)
  // What was said meanwhile was not for this node, which has to know.
  world.wire.isDown = false
  await redialled(world, world.wire.dialled)
  expect(late).toBe(1)
  await world.settle()
  expect(late).toBe(1)
})

test('one that was ended dials no more, and keeps nothing', async () => {
  const world = openWorld()
  world.link.send(ROOM, message(0))
  await world.settle()
  world.link.end()
  const { dialled } = world.wire
  world.link.send(ROOM, message(1))
  await wait(150)
  expect(world.wire.dialled).toBe(dialled)
  expect(world.payloads()).toEqual([0])
})

test('one that is far behind is not read until it has caught up', async () => {
  let go: () => void = () => undefined
  const held = new Promise<void>((resolve) => (go = resolve))
  const world = openWorld(() => held)
  for (const i of count(3_000)) world.link.send(ROOM, message(i))
  await turn()
  await world.settle()
  expect(world.wire.connection!.answered.isPaused).toBe(true)
  expect(world.wire.connection!.dialled.sent.length).toBeGreaterThan(0)
  go()
  const end = Date.now() + 15_000
  while (world.payloads().length < 3_000 && Date.now() < end) await world.settle()
  expect(world.payloads()).toEqual(count(3_000))
  expect(world.gaps()).toEqual([])
}, 20_000)
