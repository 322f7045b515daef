import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from '../../client'
import { CouchServer } from '../../couchdb/server'
import { eventually } from '../../eventually'
import { startProcess, type ServerProcess } from '../../server/process'
import { Peer } from './peer'

/** Two processes on one CouchDB, one of which is killed. Needs what `npm run build` makes. */

const SECRET = 'a-secret-for-the-tests'

let couch: CouchServer
let directory: string
const processes: ServerProcess[] = []
afterAll(async () => {
  for (const { child, exit } of processes) {
    child.kill('SIGKILL')
    await exit
  }
  await couch?.close()
  await rm(directory, { recursive: true, force: true })
}, 60_000)

async function start(node: string): Promise<{ readonly process: ServerProcess; readonly url: string }> {
  const process = startProcess({
    KV4_COUCHDB_URL: couch.url,
    KV4_DATA_DIR: join(directory, node),
    KV4_NODE: node,
    KV4_SYS_SECRET: SECRET,
    KV4_PEPPER: 'a pepper for the tests, long enough',
    KV4_HOST_BEAT_MS: '1000',
    KV4_LOG_LEVEL: 'info',
  })
  processes.push(process)
  return { process, url: `http://127.0.0.1:${await process.port}` }
}

test('of a node that is killed the others clean up, and tell so; it comes back as another', async () => {
  directory = await mkdtemp(join(tmpdir(), 'kv4-nodes-'))
  couch = await CouchServer.start({ login: 'admin:admin' })
  const a = await start('node-a')
  const b = await start('node-b')
  const sys = new Client(a.url, '$sys', SECRET)

  await sys.ok(sys.post('/_ns/room'))
  const token = (user: string) => sys.ok(sys.put<string>(`/_token/room?k=${user}&expire=0`))
  const socket = (url: string, text: string, query = '') => `${url.replace('http', 'ws')}/v2/${text}${query}`
  const alice = await Peer.in(socket(a.url, await token('alice'), '?gaps=1'))
  const bobsToken = await token('bob')
  const bob = await Peer.in(socket(b.url, bobsToken))
  // Each node knows of the other, and of whom it has.
  await bob.seen((frames) => frames.some((frame) => frame.includes('alice')))
  await alice.seen((frames) => frames.some((frame) => frame.includes('peer_connected')))
  bob.send({ t: 'u', m: { o: 'hello' }, p: 1 })
  await alice.seen((frames) => frames.some((frame) => frame.includes('hello')))

  b.process.child.kill('SIGKILL')
  // On a busy machine she may have been told before that he had gone and come back: the last word counts.
  await alice.seen((frames) => frames.at(-1)!.includes('peer_removed'), 20_000)
  // Whatever he said last may have died with his node.
  expect(alice.take().slice(-2)).toEqual([
    '{"t":"u","m":{"f":"/room/__sys__","o":"gap"},"p":null}',
    '{"t":"u","m":{"f":"/room/bob","o":"peer_removed"},"p":null}',
  ])
  await eventually(async () => expect(await sys.ok(sys.get('/_subs/room'))).toEqual(['alice']))
  await eventually(async () => expect(await sys.ok(sys.get('/_ds/room?a=keys&l=*subs:node-b'))).toEqual([]))

  const again = await start('node-b')
  const returned = await Peer.in(socket(again.url, bobsToken))
  expect(await alice.next()).toEqual(['{"t":"u","m":{"f":"/room/bob","o":"peer_connected"},"p":null}'])
  alice.send({ t: 'u', m: { t: 'bob', o: 'welcome' }, p: 1 })
  const frames = await returned.until((all) => all.some((frame) => frame.includes('welcome')))
  expect(frames.at(-1)).toBe('{"t":"u","m":{"f":"/room/alice","t":"bob","o":"welcome"},"p":1}')
  await Promise.all([alice.close(), returned.close()])
}, 60_000)
