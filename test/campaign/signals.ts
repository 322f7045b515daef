import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import WebSocket from 'ws'
import { Client } from '../client'
import { CouchServer } from '../couchdb/server'
import { startProcess, type ServerProcess } from '../server/process'
import { seeded } from './random'

/**
 * Promise 18: what a room says arrives while one is connected, or one is told that something may be missing. Two nodes are
 * one platform, with half of each room's members on either; one node is killed under them, again and again.
 *
 * In each room one member of each node sends numbers. Whoever hears them knows what he lacks; a number that he lacks
 * counts as known when, since the last one that he heard, his own connection broke, he was told of a gap, or that its
 * sender has left.
 */
export interface SignalCampaign {
  readonly sockets: number
  readonly rounds: number
  readonly seed: number
  /** Default 10. */
  readonly perRoom?: number
  /** How often each sender sends, ms. Default 1,000. */
  readonly everyMs?: number
  /** Of each round, ms, before the kill; the moment is chosen by the seed within as much again. Default 3,000. */
  readonly lengthMs?: number
  /** Default: the tests' server of CouchDB's protocol, which is slow beyond a thousand sockets. */
  readonly couchdbUrl?: string
  /** Instead of what clients understand as a gap: to see that the campaign sees one. */
  readonly deaf?: boolean
  readonly onRound?: (round: SignalRound) => void
  /** Everybody has to know within this time of a kill. Default 30 s. */
  readonly toldWithinMs?: number
}

export interface SignalRound {
  readonly round: number
  readonly sent: number
  readonly heard: number
  /** Ms from the kill until everybody had been told. */
  readonly toldMs: number
  readonly undetected: number
}

export interface SignalResult {
  readonly sockets: number
  readonly rooms: number
  readonly kills: number
  readonly sent: number
  readonly heard: number
  /** Numbers that somebody lacks and knows of. */
  readonly detected: number
  readonly twice: number
  /** One line each, the first hundred. */
  readonly undetected: readonly string[]
  readonly slowestToldMs: number
}

// As other tests have them, which may have used the CouchDB before.
const SECRET = 'a-secret-for-the-tests'
const PEPPER = 'a pepper for the tests, long enough'
const OPENED_AT_ONCE = 50

/** What a member knows of one sender. */
interface Heard {
  /** The last number heard, or -1; or where he came in. */
  last: number
  /** Something may be missing behind `last`. */
  doubt: boolean
}

interface Member {
  readonly user: string
  readonly room: string
  readonly node: 'a' | 'b'
  readonly token: string
  socket: WebSocket | undefined
  /** By sender. */
  readonly heard: Map<string, Heard>
}

interface Sender {
  readonly member: Member
  /** The next number. */
  next: number
}

interface Tally {
  sent: number
  heard: number
  detected: number
  twice: number
  readonly undetected: string[]
}

export async function runSignalCampaign(campaign: SignalCampaign): Promise<SignalResult> {
  const { sockets, rounds, seed, perRoom = 10, everyMs = 1_000, lengthMs = 3_000 } = campaign
  const { toldWithinMs = 30_000 } = campaign
  const random = seeded(seed)
  const directory = await mkdtemp(join(tmpdir(), 'kv4-signals-'))
  const couch =
    campaign.couchdbUrl === undefined ? await CouchServer.start({ login: 'admin:admin' }) : undefined
  const processes: ServerProcess[] = []
  const start = async (node: string): Promise<{ readonly url: string; readonly process: ServerProcess }> => {
    const started = startProcess({
      KV4_COUCHDB_URL: campaign.couchdbUrl ?? couch!.url,
      KV4_DATA_DIR: join(directory, node),
      KV4_NODE: node,
      KV4_SYS_SECRET: SECRET,
      KV4_PEPPER: PEPPER,
      KV4_HOST_BEAT_MS: '500',
      KV4_MAX_CONNECTIONS: '20000',
      KV4_LOG_LEVEL: 'info',
    })
    processes.push(started)
    return { process: started, url: `http://127.0.0.1:${await started.port}` }
  }
  const tally: Tally = { sent: 0, heard: 0, detected: 0, twice: 0, undetected: [] }
  const members: Member[] = []
  const senders = new Map<string, Sender>()
  let ticking: NodeJS.Timeout | undefined
  let remove: (() => Promise<unknown>) | undefined
  let slowestToldMs = 0
  let kills = 0
  try {
    const a = await start('node-a')
    let b = await start('node-b')
    const sys = new Client(a.url, '$sys', SECRET)
    const account = `signals-${process.pid}`
    const { secret } = await sys.ok(
      sys.put<{ secret: string }>('/_acc/accounts', { k: account, v: { email: `${account}@async.cl` } }),
    )
    const owner = sys.as(account, secret)
    remove = () => sys.ok(sys.delete(`/_acc/accounts?k=${account}`))
    const rooms = Math.max(1, Math.round(sockets / perRoom))
    for (let i = 0; i < rooms; i++) {
      const room = `room-${i}`
      await owner.ok(owner.post(`/_ns/${room}`))
      const made = await Promise.all(
        Array.from({ length: perRoom }, async (_, j): Promise<Member> => {
          const user = `user-${j}`
          const token = await owner.ok(owner.put<string>(`/_token/${room}?k=${user}&expire=0`))
          const node = j % 2 === 0 ? 'a' : 'b'
          return { user, room, node, token, socket: undefined, heard: new Map() }
        }),
      )
      members.push(...made)
      for (const member of made.slice(0, 2)) senders.set(`${room} ${member.user}`, { member, next: 0 })
    }

    const open = (member: Member) =>
      enter(member, { a: a.url, b: b.url }[member.node], { senders, tally, deaf: campaign.deaf === true })
    await openAll(members, open)

    const order = [...senders.values()]
    let turn = 0
    const tickMs = 20
    const perTick = Math.max(1, Math.ceil((order.length * tickMs) / everyMs))
    ticking = setInterval(() => {
      for (let i = 0; i < perTick; i++) {
        const sender = order[turn++ % order.length]!
        const { socket } = sender.member
        if (socket?.readyState !== WebSocket.OPEN) continue
        socket.send(`{"t":"u","m":{"o":"n"},"p":${sender.next++}}`)
        tally.sent++
      }
    }, tickMs)

    for (let round = 1; round <= rounds; round++) {
      const before = { ...tally }
      await wait(lengthMs + Math.floor(random() * lengthMs))
      const killed = performance.now()
      b.process.child.kill('SIGKILL')
      await b.process.exit
      kills++
      const lacking = () => lackingAt(members, senders, 'a')
      while (lacking().length > 0 && performance.now() - killed < toldWithinMs) await wait(50)
      const toldMs = performance.now() - killed
      slowestToldMs = Math.max(slowestToldMs, toldMs)
      for (const line of lacking()) note(tally, `round ${round}: ${line}`)
      b = await start('node-b')
      await openAll(
        members.filter(({ node }) => node === 'b'),
        open,
      )
      campaign.onRound?.({
        round,
        sent: tally.sent - before.sent,
        heard: tally.heard - before.heard,
        toldMs,
        undetected: tally.undetected.length,
      })
    }
    // What is said at the end has to arrive, too.
    await wait(lengthMs)
    clearInterval(ticking)
    const end = performance.now() + toldWithinMs
    const missing = () => [
      ...lackingAt(members, senders, 'a', true),
      ...lackingAt(members, senders, 'b', true),
    ]
    while (missing().length > 0 && performance.now() < end) await wait(50)
    for (const line of missing()) note(tally, `at the end: ${line}`)
    return { ...tally, sockets: members.length, rooms, kills, slowestToldMs }
  } finally {
    clearInterval(ticking)
    for (const { socket } of members) socket?.terminate()
    await remove?.().catch(() => undefined)
    for (const { child, exit } of processes) {
      child.kill('SIGKILL')
      await exit
    }
    await couch?.close()
    await rm(directory, { recursive: true, force: true })
  }
}

async function openAll(members: readonly Member[], open: (member: Member) => Promise<void>): Promise<void> {
  for (let i = 0; i < members.length; i += OPENED_AT_ONCE)
    await Promise.all(members.slice(i, i + OPENED_AT_ONCE).map(open))
}

/** Resolves once it is told who is there. */
async function enter(
  member: Member,
  url: string,
  world: { readonly senders: ReadonlyMap<string, Sender>; readonly tally: Tally; readonly deaf: boolean },
): Promise<void> {
  const { senders, tally, deaf } = world
  for (let attempt = 0; ; attempt++) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v2/${member.token}?gaps=1`, {
      perMessageDeflate: false,
    })
    member.socket = socket
    const isIn = await new Promise<boolean>((resolve) => {
      socket.on('error', () => undefined)
      socket.once('close', () => resolve(false))
      socket.on('message', (data: Buffer) => {
        const { m, p } = JSON.parse(data.toString()) as {
          readonly m: { readonly f: string; readonly o: string }
          readonly p: unknown
        }
        const from = m.f.slice(m.f.lastIndexOf('/') + 1)
        if (m.o === 'peers') {
          // From now on he hears everything: what was sent before may or may not reach him.
          for (const [id, { member: sender, next }] of senders)
            if (sender.room === member.room && sender !== member)
              member.heard.set(id, { last: next - 1, doubt: false })
          resolve(true)
        } else if (m.o === 'gap') {
          if (!deaf) for (const each of member.heard.values()) each.doubt = true
        } else if (m.o === 'peer_removed') {
          const of = member.heard.get(`${member.room} ${from}`)
          if (of !== undefined && !deaf) of.doubt = true
        } else if (m.o === 'n') hear(member, `${member.room} ${from}`, p as number, tally)
      })
    })
    if (isIn) return
    if (attempt === 20) throw new Error(`${member.user} does not get into ${member.room}`)
    await wait(250)
  }
}

function hear(member: Member, id: string, n: number, tally: Tally): void {
  const of = member.heard.get(id)!
  tally.heard++
  // What was on its way as he came in may still arrive.
  if (n <= of.last) {
    tally.twice++
    return
  }
  if (n > of.last + 1) {
    if (of.doubt) tally.detected += n - of.last - 1
    else
      note(tally, `${member.user} of ${id.split(' ')[0]} heard ${n} after ${of.last} of ${id.split(' ')[1]}`)
  }
  of.last = n
  of.doubt = false
}

/** Who of a node lacks what was sent, and has not been told. `isOver`: nobody sends any more. */
function lackingAt(
  members: readonly Member[],
  senders: ReadonlyMap<string, Sender>,
  node: 'a' | 'b',
  isOver = false,
): readonly string[] {
  const lines: string[] = []
  for (const member of members) {
    if (member.node !== node || member.socket?.readyState !== WebSocket.OPEN) continue
    for (const [id, { last, doubt }] of member.heard) {
      const { next, member: sender } = senders.get(id)!
      // What a living sender sent is on its way, until the end.
      if (!doubt && last < next - 1 && (isOver || sender.socket?.readyState !== WebSocket.OPEN))
        lines.push(`${member.user} of ${member.room} lacks ${last + 1} to ${next - 1} of ${id}`)
    }
  }
  return lines
}

function note(tally: Tally, line: string): void {
  if (tally.undetected.length < 100) tally.undetected.push(line)
}
