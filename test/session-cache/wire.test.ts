import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SessionCacheManager, startTier } from '../../session-cache'
import type { LRUManager, LruConf, RunningTier } from '../../session-cache'
import { FrameReader } from '../../session-cache/frames'
import { tokenOf } from '../../session-cache/hash'
import { until } from '../eventually'
import { removeTableRooms, tableRoom } from './table-room'

let room: string
const tiers: RunningTier[] = []
const managers: SessionCacheManager[] = []
const sockets: Socket[] = []

beforeEach(() => {
  room = tableRoom()
})
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const manager of managers.splice(0)) await manager.close()
  for (const tier of tiers.splice(0).reverse()) await tier.close()
  removeTableRooms()
})

const warnings: string[] = []
const log = (level: string, message: string, fields: object = {}) => {
  if (level === 'warn') warnings.push(`${message} ${JSON.stringify(fields)}`)
}

async function start(name: string, configuration: object): Promise<RunningTier & { readonly port: number }> {
  writeFileSync(join(room, name), JSON.stringify(configuration))
  const tier = await startTier(join(room, name), log)
  tiers.push(tier)
  return tier as RunningTier & { port: number }
}

function relayConf(extra: object = {}, cache: object = {}): object {
  return {
    edge_supported_relay: true,
    auth_path: 'auths',
    port: 0,
    address: '127.0.0.1',
    lookup_ms: 200,
    path_types: { auths: { cache: { directory: room, token_path: './relay', seed: 9849381, ...cache } } },
    ...extra,
  }
}

function manage(name: string, port: number, line: object = {}, conf: object = {}): SessionCacheManager {
  const lru: LruConf = {
    manage_section: true,
    token_path: name,
    cache: { directory: room, seed: 9849381 },
    ...conf,
  }
  const manager = new SessionCacheManager(lru, {
    auth_path: 'auths',
    address: '127.0.0.1',
    port,
    reconnect_ms: 100,
    ...line,
  })
  managers.push(manager)
  return manager
}

/** A client that sends bytes and looks at bytes. */
class RawClient {
  text = ''
  ended = false
  private constructor(readonly socket: Socket) {
    socket.on('data', (chunk) => (this.text += String(chunk)))
    socket.on('close', () => (this.ended = true))
    socket.on('error', () => undefined)
  }

  static async connect(port: number): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1' })
    sockets.push(socket)
    await new Promise((resolve) => socket.once('connect', resolve))
    return new RawClient(socket)
  }

  send(text: string | Buffer): void {
    this.socket.write(text)
  }

  /** The bytes that came, once they are these many frames. */
  async frames(count: number): Promise<string> {
    const limits = { bytes: 1e6, depth: 64 }
    const late = Date.now() + 10_000
    while (new FrameReader(limits).push(Buffer.from(this.text)).length < count) {
      if (Date.now() > late) throw new Error(`not ${count} frames: ${this.text.slice(0, 1000)}`)
      const more = new Promise((resolve) => this.socket.once('data', resolve))
      await Promise.race([more, new Promise((resolve) => setTimeout(resolve, 100))])
    }
    return this.text
  }
}

const SUBSCRIPTIONS =
  '{"_ps_op":"sub","topic":"session","_m_path":"auths","_response_id":4}' +
  '{"_ps_op":"sub","topic":"need_session","_m_path":"auths","_response_id":5}' +
  '{"_ps_op":"sub","topic":"session_known-41143","_m_path":"auths","_response_id":6}' +
  '{"_ps_op":"sub","topic":"session_received","_m_path":"auths","_response_id":7}'
const SET =
  '{"key":"k1","value":"v1","hash":{},"_ps_op":"pub","topic":"session","_m_path":"auths","_response_id":38}'
const NEED =
  '{"key":"k1","requester":41143,"_ps_op":"pub","topic":"need_session","_m_path":"auths","_response_id":91}'

describe('a client of the original', () => {
  test('subscribes, sets, and gets the value at the top level of the answer', async () => {
    const { port } = await start('relay.conf', relayConf())
    const client = await RawClient.connect(port)
    client.send(SUBSCRIPTIONS + SET)
    expect(await client.frames(5)).toBe(
      '{"_response_id":4,"msg":"OK"}{"_response_id":5,"msg":"OK"}{"_response_id":6,"msg":"OK"}' +
        '{"_response_id":7,"msg":"OK"}{"_response_id":38,"msg":"OK"}',
    )
    client.text = ''
    client.send(NEED)
    expect(await client.frames(1)).toMatch(
      /^\{"_response_id":91,"key":"k1","value":"v1","hash":"\d+-\d+","at":\d+\}$/,
    )
    client.text = ''
    client.send(NEED.replace('"k1"', '"nokey"'))
    expect(await client.frames(1)).toBe('{"_response_id":91,"msg":"ERROR"}')
  })

  test('is understood wherever its frames are split, glued behind each other', async () => {
    const { port } = await start('relay.conf', relayConf())
    const client = await RawClient.connect(port)
    const bytes = Buffer.from(SUBSCRIPTIONS + SET + NEED)
    for (let at = 1; at < bytes.length; at++) {
      client.text = ''
      client.send(bytes.subarray(0, at))
      await new Promise((resolve) => setImmediate(resolve))
      client.send(bytes.subarray(at))
      expect(await client.frames(6)).toContain('{"_response_id":91,"key":"k1","value":"v1"')
    }
  })

  test('is told of new sessions by topic and path, once, and not of its own', async () => {
    const { port } = await start('relay.conf', relayConf())
    const [one, two] = [await RawClient.connect(port), await RawClient.connect(port)]
    one.send(SUBSCRIPTIONS)
    two.send(SUBSCRIPTIONS)
    await Promise.all([one.frames(4), two.frames(4)])
    one.text = two.text = ''
    one.send(SET.replace('"hash":{}', '"hash":"123-45"').replace('v1', 'a}{b'))
    // No }{ inside of a frame, since the original cuts there.
    expect(await two.frames(1)).toMatch(
      /^\{"topic":"session","_m_path":"auths","key":"k1","value":"a\}\\u007bb","hash":"123-45","at":\d+\}$/,
    )
    expect(await one.frames(1)).toBe('{"_response_id":38,"msg":"OK"}')
    one.send(SET.replace('v1', 'a}{b').replace('"hash":{}', `"at":1`))
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(two.text.match(/topic/g)).toHaveLength(1)
  })

  test('finds what another client holds, by session_known', async () => {
    const { port } = await start('relay.conf', relayConf())
    const [one, two] = [await RawClient.connect(port), await RawClient.connect(port)]
    two.send(SUBSCRIPTIONS)
    await two.frames(4)
    two.text = ''
    one.send(NEED)
    const asked = JSON.parse(await two.frames(1)) as Record<string, unknown>
    expect(asked).toEqual({
      topic: 'need_session',
      _m_path: 'auths',
      key: 'k1',
      requester: expect.any(Number) as unknown,
    })
    two.send(
      `{"key":"k1","value":"mine","hash":"1-2","_ps_op":"pub","topic":"session_known-${asked['requester'] as number}","_m_path":"auths","_response_id":9}`,
    )
    expect(await one.frames(1)).toMatch(/^\{"_response_id":91,"key":"k1","value":"mine","hash":/)
  })

  test('works operations: set, get, delete, evictions', async () => {
    const { port } = await start('relay.conf', relayConf())
    const client = await RawClient.connect(port)
    const ask = async (frame: object) => {
      client.text = ''
      client.send(JSON.stringify({ _m_path: 'auths', _response_id: 7, ...frame }))
      return JSON.parse(await client.frames(1)) as {
        msg: { status: string; data?: unknown; explain: string }
      }
    }
    const set = { _tx_op: 'S', key: 'k', value: 'v' }
    expect((await ask({ ...set, _user_op: 'update' })).msg.status).toBe('ERR')
    expect((await ask({ ...set, _user_op: 'create' })).msg).toMatchObject({
      status: 'OK',
      explain: 'op performed',
    })
    expect((await ask({ ...set, _user_op: 'create' })).msg.status).toBe('ERR')
    expect((await ask({ _tx_op: 'G', key: 'k' })).msg).toMatchObject({
      status: 'OK',
      data: 'v',
      explain: 'get',
    })
    expect((await ask({ _tx_op: 'C', _exec_op: 'evictions' })).msg.data).toMatchObject([
      { key: 'k', value: 'v' },
    ])
    expect((await ask({ _tx_op: 'G', key: 'k' })).msg.status).toBe('ERR')
    await ask(set)
    expect((await ask({ _tx_op: 'D', key: 'k' })).msg.status).toBe('OK')
    expect((await ask({ _tx_op: 'G', key: 'k' })).msg.status).toBe('ERR')
    expect((await ask({ _tx_op: 'X' })).msg.status).toBe('ERR')
  })

  test('gets an answer that it can read, whatever is wrong with its message', async () => {
    const { port } = await start('relay.conf', relayConf({}, { record_size: 64 }))
    const client = await RawClient.connect(port)
    for (const message of [
      '{"_ps_op":"pub","topic":"session","_response_id":1}',
      '{"_ps_op":"pub","topic":"session","_m_path":"other","_response_id":1}',
      '{"_ps_op":"pub","_m_path":"auths","_response_id":1}',
      '{"_ps_op":"jump","topic":"t","_m_path":"auths","_response_id":1}',
      '{"_ps_op":"pub","topic":"session","_m_path":"auths","_response_id":1,"key":7,"value":"v"}',
      '{"_ps_op":"pub","topic":"need_session","_m_path":"auths","_response_id":1,"__proto__":{"key":"k"}}',
      '{"_m_path":"auths","_response_id":1}',
    ]) {
      client.text = ''
      client.send(message)
      expect(await client.frames(1)).toBe('{"_response_id":1,"msg":"ERROR"}')
    }
    client.text = ''
    client.send(SET.replace('v1', 'x'.repeat(65)))
    expect(await client.frames(1)).toBe('{"_response_id":38,"msg":"ERROR","error":"value_too_large"}')
  })
})

describe('a sibling', () => {
  test('answers as an endpoint does, and takes a session_backup by its hash', async () => {
    const { port } = await start('sibling.conf', {
      half_edge: true,
      auth_path: 'auths',
      port: 0,
      address: '127.0.0.1',
      cache: { directory: room, am_initializer: true },
    })
    const client = await RawClient.connect(port)
    client.send(
      '{"_ps_op":"sub","topic":"session_backup","_m_path":"auths","_response_id":1}' +
        '{"hash":"12-345","value":"old","_ps_op":"pub","topic":"session_backup","_m_path":"auths","_response_id":2}' +
        '{"_tx_op":"G","hash":"12-345","_m_path":"auths","_response_id":3}',
    )
    expect(await client.frames(3)).toMatch(
      /^\{"_response_id":1,"state":"OK"\}\{"_response_id":2,"state":"OK"\}\{"status":"OK","data":"old","explain":"get","when":\d+,"_response_id":3\}$/,
    )
    // It is the end of one path: its messages need not name it.
    client.text = ''
    client.send(
      '{"_tx_op":"C","_exec_op":"test-line","_response_id":4}{"_tx_op":"G","key":"12-345","_response_id":5}',
    )
    expect(await client.frames(2)).toMatch(
      /^\{"status":"OK","explain":"op performed","when":\d+,"_response_id":4\}\{"status":"OK","data":"old","explain":"get","when":\d+,"_response_id":5\}$/,
    )
    for (const message of [
      '{"_ps_op":"jump","topic":"t","_m_path":"auths","_response_id":6}',
      '{"_ps_op":"pub","topic":"session","_m_path":"other","_response_id":6}',
      '{"_ps_op":"pub","topic":"session","_m_path":"auths","_response_id":6}',
      NEED.replace('91', '6').replace('k1', 'nokey'),
    ]) {
      client.text = ''
      client.send(message)
      expect(await client.frames(1)).toBe('{"_response_id":6,"state":"ERR"}')
    }
    client.text = ''
    client.send('{"_response_id":7}{"_tx_op":"D","_m_path":"auths","_response_id":8}')
    expect(await client.frames(2)).toMatch(
      /^\{"status":"ERR","explain":"op performed","when":\d+,"_response_id":7\}\{"status":"ERR","explain":"op performed","when":\d+,"_response_id":8\}$/,
    )
  })

  test('finds by its key what came by its hash alone, and so does a relief server', async () => {
    const cache = { directory: room, el_count: 20_000, seed: 9849381 }
    const { port } = await start('sibling.conf', {
      half_edge: true,
      port: 0,
      address: '127.0.0.1',
      cache: { ...cache, am_initializer: true },
    })
    await start('relief.conf', { lru: { cache }, message_relay: { address: '127.0.0.1', port, name: 'one' } })
    const client = await RawClient.connect(port)
    const backup = (key: string) =>
      JSON.stringify({
        hash: tokenOf(key, cache.el_count, cache.seed),
        value: 'v of ' + key,
        _ps_op: 'pub',
        topic: 'session_backup',
        _response_id: 1,
      })
    client.send(backup('k1'))
    await client.frames(1)
    client.text = ''
    client.send(NEED)
    expect(await client.frames(1)).toMatch(/^\{"_response_id":91,"key":"k1","value":"v of k1",/)
    // Out of the sibling's table, to the relief server.
    client.text = ''
    client.send('{"_tx_op":"C","_exec_op":"evictions-forward","_response_id":2}')
    await client.frames(1)
    await until(async () => {
      client.text = ''
      client.send(NEED)
      return (await client.frames(1)).includes('"value":"v of k1"')
    }, 'the relief server finds it')
  })

  test('believes the newer one of two relief servers, whoever answers first', async () => {
    const { port } = await start('sibling.conf', {
      half_edge: true,
      port: 0,
      address: '127.0.0.1',
      cache: { directory: room, am_initializer: true },
    })
    const reliefs = await Promise.all([1, 2].map(() => RawClient.connect(port)))
    for (const [i, topic] of ['session_backup', 'session'].entries())
      reliefs[i]!.send(
        [topic, 'need_session'].map((each) => `{"_ps_op":"sub","topic":"${each}","name":"r${i}"}`).join(''),
      )
    // One of the original's clients, which never answer, is not waited for.
    const mute = await RawClient.connect(port)
    mute.send(SUBSCRIPTIONS)
    await mute.frames(4)
    const client = await RawClient.connect(port)
    const ask = async (key: string, answers: readonly object[]) => {
      for (const each of [client, ...reliefs]) each.text = ''
      client.send(NEED.replace('k1', key))
      for (const [i, relief] of reliefs.entries()) {
        const { requester } = JSON.parse(await relief.frames(1)) as { requester: number }
        relief.send(
          JSON.stringify({ key, ...answers[i], _ps_op: 'pub', topic: `session_known-${requester}` }),
        )
      }
      return client.frames(1)
    }
    for (const key of ['k2', 'k3']) await ask(key, [{ missing: true }, { missing: true }])
    const began = performance.now()
    const newest = await ask('k1', [
      { value: 'v0', at: 1000 },
      { value: 'v1', at: 1001 },
    ])
    expect(newest).toMatch(/^\{"_response_id":91,"key":"k1","value":"v1",/)
    expect(performance.now() - began).toBeLessThan(200)
  })
})

describe('siblings that run elsewhere', () => {
  const siblingConf = (name: string, port = 0) => ({
    half_edge: true,
    auth_path: 'auths',
    port,
    address: '127.0.0.1',
    cache: { directory: room, am_initializer: true, token_path: name },
  })

  test('take what does not fit, spread over all of them, and learn what they missed', async () => {
    const siblings = [await start('s0.conf', siblingConf('s0')), await start('s1.conf', siblingConf('s1'))]
    const peers = siblings.map(({ port }) => ({ address: '127.0.0.1', port, reconnect_ms: 100 }))
    const { cache } = (relayConf({}, { el_count: 5 }) as { path_types: { auths: { cache: object } } })
      .path_types.auths
    const { port } = await start(
      'relay.conf',
      relayConf({ path_types: { auths: { relay: { peers }, cache } } }),
    )
    const box = manage('box', port, {}, { cache: { directory: room, el_count: 5 } })
    const clients = await Promise.all(siblings.map((sibling) => RawClient.connect(sibling.port)))
    const has = async (client: RawClient, key: string) => {
      client.text = ''
      client.send(`{"_tx_op":"G","key":"${key}","_m_path":"auths","_response_id":1}`)
      return (await client.frames(1)).includes('"status":"OK"')
    }
    for (let i = 0; i < 40; i++) await box.set('k' + i, 'value ' + i)
    for (let i = 0; i < 40; i++) expect(await box.get('k' + i)).toBe('value ' + i)
    const only: string[] = []
    for (let i = 0; i < 40; i++) {
      const [first, second] = [await has(clients[0]!, 'k' + i), await has(clients[1]!, 'k' + i)]
      expect(first || second).toBe(true)
      if (first && !second) only.push('k' + i)
    }
    expect(only.length).toBeGreaterThan(5)
    expect(only.length).toBeLessThan(35)

    const [first, second] = only as [string, string]
    await box.destroy(first)
    for (const client of clients)
      await until(async () => !(await has(client, first)), 'it is destroyed in all of them')
    // While one is away the other one takes all, and what is destroyed is told when it is back.
    await tiers.splice(tiers.indexOf(siblings[0]!), 1)[0]!.close()
    for (let i = 0; i < 20; i++) await box.set('l' + i, 'value ' + i)
    for (let i = 0; i < 20; i++) expect(await box.get('l' + i)).toBe('value ' + i)
    await box.destroy(second)
    await start('s0.conf', siblingConf('s0', siblings[0]!.port))
    const back = await RawClient.connect(siblings[0]!.port)
    expect(await has(back, only[2]!)).toBe(true)
    await until(async () => !(await has(back, second)), 'what was destroyed is told')
  })

  test('stand in place of one that is a child, not beside it', async () => {
    writeFileSync(join(room, 's.conf'), JSON.stringify(siblingConf('s')))
    const relay = { proc_name: ['kv4', './s.conf'], peers: [{ port: 1 }] }
    await expect(
      start('relay.conf', relayConf({ path_types: { auths: { relay, cache: { directory: room } } } })),
    ).rejects.toThrow('one of both')
  })
})

describe('the manager', () => {
  test('puts out by eviction_schedule what was not used for long, so many at a time', async () => {
    const alone = new SessionCacheManager({
      manage_section: true,
      token_path: 'scheduled',
      cache: { directory: room, evictions_timeout: false },
      // Spelt as in the original, and as text, as its files have it.
      eviction_schedule: { time_sfhit: '1000', max_evicts: '4', intrerval: '40' },
    })
    managers.push(alone)
    const lru = alone.get_LRUManager() as LRUManager
    const rounds: number[] = []
    lru.on_eviction((sessions) => rounds.push(sessions.length))
    for (let i = 0; i < 10; i++) await alone.set('k' + i, 'v')
    expect(await alone.get('k0')).toBe('v')
    await until(async () => lru.table.count === 0, 'all have left')
    expect(Math.max(...rounds)).toBe(4)
    expect(rounds.reduce((sum, n) => sum + n)).toBe(10)
    await alone.set('new', 'v')
    expect(await alone.get('new')).toBe('v')
  })

  test('takes no key that would stay in a table for ever, and finds nothing under it', async () => {
    const { port } = await start('relay.conf', relayConf({}, { el_count: 4 }))
    const box = manage('box', port, {}, { cache: { directory: room, el_count: 4 } })
    const client = await RawClient.connect(port)
    for (const key of [
      'x'.repeat(70) + '\u0000y',
      '\u0004'.repeat(512),
      'x'.repeat(513),
      'x'.repeat(1e5),
      '',
    ]) {
      await expect(box.set(key, 'v')).rejects.toMatchObject({ code: 'bad_key' })
      await expect(box.destroy(key)).rejects.toMatchObject({ code: 'bad_key' })
      expect([await box.get(key), box.delete(key)]).toEqual([false, false])
      if (key.length > 1000) continue
      client.text = ''
      client.send(SET.replace('"k1"', JSON.stringify(key)) + NEED.replace('"k1"', JSON.stringify(key)))
      expect(await client.frames(2)).toBe(
        '{"_response_id":38,"msg":"ERROR"}{"_response_id":91,"msg":"ERROR"}',
      )
    }
    const most = 'x'.repeat(511) + '\u0005'
    await box.set(most, 'v')
    expect(await box.get(most)).toBe('v')
    for (let i = 0; i < 10; i++) await box.set('k' + i, 'v')
    expect(await box.get('k9')).toBe('v')
    expect((box.get_LRUManager() as LRUManager).table.count).toBe(4)
    await expect(box.set(7 as never, 'v')).rejects.toMatchObject({ code: 'bad_key' })
    expect(await box.get(undefined as never)).toBe(false)
  })

  test('sends what the original sends, with a hash that is one', async () => {
    const seen: string[] = []
    const { createServer } = await import('node:net')
    const server = createServer((socket) => {
      sockets.push(socket)
      socket.on('data', (chunk) => {
        seen.push(String(chunk))
        for (const frame of new FrameReader({ bytes: 1e6, depth: 9 }).push(chunk))
          socket.write(
            frame['topic'] === 'need_session' && frame['_ps_op'] === 'pub'
              ? `{"_response_id":${String(frame['_response_id'])},"key":"nokey","value":"remote-value","hash":"x"}` +
                  '{"topic":"session","_m_path":"auths","key":"pushed","value":"pv","hash":"123-45"}'
              : `{"_response_id":${String(frame['_response_id'])},"msg":"OK"}`,
          )
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const manager = manage('box', port)
    const token = await manager.set('k1', 'v1')
    const id = manager.process_identifier
    expect(seen.join('')).toMatch(
      new RegExp(
        ['session', 'need_session', `session_known-${id}`, 'session_received']
          .map((topic, i) => `\\{"_ps_op":"sub","topic":"${topic}","_m_path":"auths","_response_id":${i}\\}`)
          .join('') +
          `\\{"key":"k1","value":"v1","hash":"${token}","at":\\d+,"_ps_op":"pub","topic":"session","_m_path":"auths","_response_id":4\\}$`,
      ),
    )
    seen.length = 0
    expect(await manager.get('nokey')).toBe('remote-value')
    expect(seen.join('')).toBe(
      `{"key":"nokey","requester":${id},"_ps_op":"pub","topic":"need_session","_m_path":"auths","_response_id":5}`,
    )
    await until(async () => (await manager.get('pushed')) === 'pv', 'the pushed session is kept')
    await manager.close()
    await new Promise((resolve) => server.close(resolve))
  })

  test('keeps the methods of the original', async () => {
    const { port } = await start('relay.conf', relayConf())
    const [a, b] = [manage('a', port), manage('b', port)]
    const hash = await a.hash_set('h', 'some text')
    expect(a.check_hash(hash, 'some text')).toBe(true)
    expect(a.check_hash(hash, 'other text')).toBe(false)
    expect(await b.get('h')).toBe(hash)
    b.delete('h')
    // Only locally: the relay still has it.
    expect(await b.get('h')).toBe(hash)
    const work = ['w1', 'w2']
    const posted: unknown[] = []
    a.post_message = async (message) => {
      posted.push(message)
      return false
    }
    a.add_message_handler(
      (piece) => ({ piece }),
      { empty_queue: () => work.length === 0, get_work: () => work.shift() },
      10,
      10,
    )
    await until(async () => posted.length === 2, 'the queue is drained')
    expect(posted).toEqual([{ piece: 'w1' }, { piece: 'w2' }])
    expect(await b.post_message({ anything: 1 })).toEqual({
      _response_id: expect.any(Number) as unknown,
      msg: 'ERROR',
    })
  })

  test('asks nobody for what its box keeps under a token', async () => {
    const { port } = await start('relay.conf', relayConf())
    const other = await RawClient.connect(port)
    other.send(SUBSCRIPTIONS)
    await other.frames(4)
    const box = manage('box', port)
    const lru = box.get_LRUManager() as LRUManager
    await lru.set_with_token(lru.hash('k'), 'by token')
    expect(await box.get('k')).toBe('by token')
    expect(await box.get('k2')).toBe(false)
    expect(other.text.match(/"key":"k2?"/g)).toEqual(['"key":"k2"'])
  })

  test('takes auth_path from either configuration, and refuses neither', async () => {
    const { port } = await start('relay.conf', relayConf())
    const a = manage('a', port, { auth_path: undefined }, { auth_path: 'auths' })
    await a.set('k', 'v')
    expect(await manage('b', port).get('k')).toBe('v')
    expect(() => manage('c', port, { auth_path: undefined })).toThrow(
      expect.objectContaining({ code: 'bad_configuration' }) as Error,
    )
  })

  test('works over a custom_lru_manager, and purely locally', async () => {
    class Plain {
      readonly map = new Map<string, unknown>()
      get = (key: string) => this.map.get(key) ?? false
      set = (key: string, value: unknown) => void this.map.set(key, value)
      set_with_token = (token: string, value: unknown) => void this.map.set(token, value)
      hash_set = (key: string, value: unknown) => (this.map.set(key, 'hash'), 'hash' + String(value))
      check_hash = () => true
      delete = (key: string) => this.map.delete(key)
      disconnect = () => true
    }
    const { port } = await start('relay.conf', relayConf())
    const a = manage('a', port)
    const b = manage('b', port, {}, { custom_lru_manager: Plain })
    await a.set('k', 'v')
    expect(await b.get('k')).toBe('v')
    const token = await a.set('k', 'v')
    const kept = (b.get_LRUManager() as Plain).map
    await until(async () => kept.has(token), 'it is kept under its token')
    const alone = new SessionCacheManager({
      manage_section: true,
      token_path: 'alone',
      cache: { directory: room },
    })
    managers.push(alone)
    await alone.set('k', { a: 1 })
    expect(await alone.get('k')).toBe('{"a":1}')
    expect(await alone.get('nothing')).toBe(false)
  })
})

describe('a line', () => {
  test('over a socket of the file system goes through all tiers', async () => {
    const path = './relay.sock'
    writeFileSync(
      join(room, 'relief.conf'),
      JSON.stringify({
        full_edge: true,
        lru: { cache: { directory: room, token_path: './relief' } },
        message_relay: { uds_path: './sibling.sock', name: 'one' },
      }),
    )
    await start('sibling.conf', {
      half_edge: true,
      uds_path: './sibling.sock',
      cache: { directory: room, am_initializer: true, token_path: './sibling' },
    })
    tiers.push(await startTier(join(room, 'relief.conf'), log))
    const relay = await start('relay.conf', relayConf({ uds_path: path }))
    expect(relay.path).toBe(join(room, 'relay.sock'))
    expect(statSync(relay.path!).mode & 0o777).toBe(0o600)
    const line = { uds_path: join(room, 'relay.sock') }
    const [a, b] = [manage('a', 1, line), manage('b', 1, line)]
    await a.set('k', 'over a socket')
    expect(await b.get('k')).toBe('over a socket')
    const behind = manage('c', 1, { uds_path: join(room, 'sibling.sock') })
    await behind.set('k', 'v')
    expect(await manage('d', 1, { uds_path: join(room, 'sibling.sock') }).get('k')).toBe('v')
    // Of a server that runs it is taken from nobody; of one that was killed it is.
    await expect(start('second.conf', relayConf({ uds_path: path }))).rejects.toThrow('EADDRINUSE')
    expect(await b.get('k')).toBe('over a socket')
    const stale = join(room, 'stale.sock')
    spawnSync(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ])
    expect(statSync(stale).isSocket()).toBe(true)
    await start('third.conf', relayConf({ uds_path: stale }))
    await manage('e', 1, { uds_path: stale }).set('k', 'v')
  })

  test('tells everything, however much is set at once', async () => {
    const { port } = await start('relay.conf', relayConf())
    const a = manage('a', port, { max_pending: 20 })
    await Promise.all(Array.from({ length: 300 }, (_, i) => a.set('k' + i, 'v' + i)))
    await a.destroy('k0')
    const client = await RawClient.connect(port)
    await until(async () => {
      client.text = ''
      client.send('{"_tx_op":"G","key":"k299","_m_path":"auths","_response_id":1}')
      return (await client.frames(1)).includes('"data":"v299"')
    }, 'the last one is told')
    for (let i = 1; i < 300; i++) {
      client.text = ''
      client.send(`{"_tx_op":"G","key":"k${i}","_m_path":"auths","_response_id":1}`)
      expect(await client.frames(1)).toContain(`"data":"v${i}"`)
    }
  })

  test('catches up on more than may wait for a slow reader, as fast as it reads', async () => {
    const { port } = await start(
      'relay.conf',
      relayConf({ limits: { backlog_bytes: 65_536 } }, { record_size: 4096 }),
    )
    const writer = await RawClient.connect(port)
    for (let i = 0; i < 1000; i++) {
      writer.send(SET.replace('k1', 'k' + i).replace('v1', 'x'.repeat(4000)))
      if (i % 50 !== 49) continue
      await writer.frames(50)
      writer.text = ''
    }
    const reader = await RawClient.connect(port)
    reader.socket.pause()
    const subscription =
      '{"_ps_op":"sub","topic":"session","_m_path":"auths","away_ms":3600000,"_response_id":4}'
    reader.send(subscription + subscription)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(reader.ended).toBe(false)
    reader.socket.resume()
    await until(async () => new Set(reader.text.match(/"key":"k\d+"/g)).size === 1000, 'all have come')
    // The second one, of the same client, is not begun beside the first.
    expect(reader.text.match(/"key":"k\d+"/g)).toHaveLength(1000)
  })

  test('to a relay that falls silent ends, and is made anew', async () => {
    let connections = 0
    const { createServer } = await import('node:net')
    const server = createServer((socket) => {
      sockets.push(socket)
      const silent = ++connections === 1
      socket.on('data', (chunk) => {
        for (const frame of new FrameReader({ bytes: 1e6, depth: 9 }).push(chunk))
          if (!silent || frame['_ps_op'] === 'sub')
            socket.write(`{"_response_id":${String(frame['_response_id'])},"msg":"OK"}`)
      })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const a = manage('a', port, { timeout_ms: 100 })
    await until(async () => {
      await a.set('k', 'v')
      return connections === 2
    }, 'a second line is made')
    expect(await a.get('k')).toMatch(/^v/)
    await a.close()
    await new Promise((resolve) => server.close(resolve))
  })
})

describe('who may speak', () => {
  const SECRET = 'a secret of these tests'

  test('with a secret: whoever says it first', async () => {
    const { port } = await start('relay.conf', relayConf({ secret: SECRET }))
    const a = manage('a', port, { secret: SECRET })
    await a.set('k', 'v')
    const raw = await RawClient.connect(port)
    raw.send(NEED)
    await until(async () => raw.ended, 'a client without a secret is sent away')
    expect(raw.text).toBe('')
    const wrong = await RawClient.connect(port)
    wrong.send(`{"_ps_op":"auth","secret":"${SECRET}x"}${NEED}`)
    await until(async () => wrong.ended, 'a client with a wrong secret is sent away')
    expect(wrong.text).toBe('')
    expect(await manage('b', port, { secret: SECRET }).get('k')).toBe('v')
    expect(warnings.join()).not.toContain(SECRET)
  })

  test('whoever is not let in asks less and less often', async () => {
    const { port } = await start('relay.conf', relayConf({ secret: SECRET }))
    warnings.length = 0
    manage('a', port, { secret: SECRET + 'x', reconnect_ms: 5000 })
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const refused = warnings.filter((text) => text.includes('a wrong secret')).length
    expect(refused).toBeGreaterThan(1)
    // After 50 to 100, 150 to 300, 350 to 700, 750 to 1500 ms.
    expect(refused).toBeLessThan(7)
  })

  test('beyond this machine: nobody without one of both', async () => {
    for (const address of ['0.0.0.0', '::', 'localhost.example.com', '127.example.com'])
      await expect(start('relay.conf', relayConf({ address }))).rejects.toThrow(
        expect.objectContaining({ code: 'insecure_listener' }) as Error,
      )
  })

  test('with TLS: whoever has a certificate that is configured', async () => {
    const keys = mkdtempSync(join(tmpdir(), 'kv4-keys-'))
    const certificate = (name: string) =>
      execFileSync(
        'openssl',
        [
          ...[
            'req',
            '-x509',
            '-newkey',
            'ec',
            '-pkeyopt',
            'ec_paramgen_curve:prime256v1',
            '-nodes',
            '-days',
            '2',
          ],
          ...[
            '-subj',
            `/CN=${name}`,
            '-keyout',
            join(keys, `${name}.pem`),
            '-out',
            join(keys, `${name}.crt`),
          ],
        ],
        { stdio: 'pipe' },
      )
    for (const name of ['server', 'client', 'stranger']) certificate(name)
    const tls = (client: string) => ({
      client_key: join(keys, `${client}.pem`),
      client_cert: join(keys, `${client}.crt`),
      server_cert: join(keys, 'server.crt'),
    })
    const { port } = await start(
      'relay.conf',
      relayConf({
        address: '0.0.0.0',
        tls: {
          server_key: join(keys, 'server.pem'),
          server_cert: join(keys, 'server.crt'),
          client_cert: join(keys, 'client.crt'),
        },
      }),
    )
    const [a, b] = [manage('a', port, { tls: tls('client') }), manage('b', port, { tls: tls('client') })]
    await a.set('k', 'over tls }{')
    expect(await b.get('k')).toBe('over tls }{')
    expect(await manage('c', port, { tls: tls('stranger') }).get('k')).toBe(false)
    expect(
      await manage('d', port, { tls: { ...tls('client'), server_cert: join(keys, 'stranger.crt') } }).get(
        'k',
      ),
    ).toBe(false)
    const plain = await RawClient.connect(port)
    plain.send(NEED)
    await until(async () => plain.ended, 'a client without TLS is sent away')
    rmSync(keys, { recursive: true })
    // One who never says anything keeps no tier from ending.
    const mute = await RawClient.connect(port)
    const began = performance.now()
    await tiers.pop()!.close()
    expect(performance.now() - began).toBeLessThan(8000)
    await until(async () => mute.ended, 'the mute one ends with the tier')
  })
})

describe('the files of the seed', () => {
  test('name the key of a client as they name that of a server', async () => {
    const keys = join(room, 'keys')
    mkdirSync(keys)
    const [key, server, client] = ['ec_key.pem', 'ec_crt.crt', 'cl_ec_crt.crt'].map((name) =>
      join(keys, name),
    )
    const openssl = (text: string, ...more: string[]) =>
      execFileSync('openssl', [...text.split(' '), ...more], { stdio: 'pipe' })
    openssl('ecparam -name secp384r1 -genkey -noout -out', key!)
    for (const file of [server!, client!])
      openssl('req -new -x509 -sha256 -days 2 -subj /CN=box -key', key!, '-out', file)
    const tls = (base: string) => ({
      server_key: base + 'keys/ec_key.pem',
      server_cert: base + 'keys/ec_crt.crt',
      client_cert: base + 'keys/cl_ec_crt.crt',
    })
    const { port } = await start('sibling.conf', {
      half_edge: true,
      auth_path: 'auths',
      port: 0,
      address: 'localhost',
      tls: tls(''),
      cache: { directory: room, am_initializer: true, token_path: './ml_relay.conf' },
    })
    warnings.length = 0
    await start('relief.conf', {
      lru: { manage_section: true, cache: { directory: room, seed: 9849381 } },
      message_relay: { auth_path: 'auths', address: 'localhost', port, tls: tls('') },
    })
    const [a, b] = ['a', 'b'].map((name) => manage(name, port, { tls: tls(room + '/') }))
    await a!.set('k', 'v')
    expect(await b!.get('k')).toBe('v')
    expect(warnings).toEqual([])
  })

  test('give a box and each relief server beside it a table of its own', async () => {
    const { port } = await start('sibling.conf', {
      half_edge: true,
      auth_path: 'auths',
      port: 0,
      address: 'localhost',
      cache: { directory: room, am_initializer: true, token_path: './ml_relay.conf' },
    })
    const lru = { manage_section: true, cache: { directory: room, seed: 9849381 } }
    for (const file of ['expansion.conf', 'ageing.conf'])
      await start(file, { lru, message_relay: { auth_path: 'auths', address: 'localhost', port } })
    manage('box', port, {}, { ...lru, token_path: undefined })
    expect(readdirSync(room).filter((name) => name.startsWith('kv4-sessions-'))).toHaveLength(4)
  })
})

describe('the limits', () => {
  test.each([
    ['a malformed frame', 'ERROR: not json'],
    ['broken JSON', '{"a":}'],
    ['a frame too large', `{"a":"${'x'.repeat(3000)}"}`],
    ['a frame too large that never ends', `{"a":"${'x'.repeat(3000)}`],
    ['a frame too deep', '{"a":'.repeat(100)],
  ])('%s ends that connection only', async (_, text) => {
    const { port } = await start('relay.conf', relayConf({ limits: { frame_bytes: 2048 } }))
    const good = await RawClient.connect(port)
    const bad = await RawClient.connect(port)
    good.send(SET)
    await good.frames(1)
    bad.send(text)
    await until(async () => bad.ended, 'the bad one ends')
    good.text = ''
    good.send(NEED)
    expect(await good.frames(1)).toContain('"value":"v1"')
  })

  test('a client that sends too fast waits', async () => {
    const { port } = await start('relay.conf', relayConf({ limits: { frames_per_second: 1000 } }))
    const client = await RawClient.connect(port)
    const start_ = performance.now()
    client.send(SET.repeat(3000))
    await client.frames(3000)
    expect(performance.now() - start_).toBeGreaterThan(1300)
  })

  test('a client that does not read is sent away, not waited for', async () => {
    const { port } = await start(
      'relay.conf',
      relayConf({ limits: { backlog_bytes: 65_536 } }, { record_size: 4096 }),
    )
    const [reader, writer] = [await RawClient.connect(port), await RawClient.connect(port)]
    reader.send(SUBSCRIPTIONS)
    await reader.frames(4)
    reader.socket.pause()
    for (let i = 0; i < 4000 && !warnings.some((text) => text.includes('reads too slowly')); i++) {
      writer.text = ''
      writer.send(SET.replace('k1', 'k' + i).replace('v1', 'x'.repeat(4000)))
      if (i % 50 === 49) await writer.frames(50)
    }
    expect(warnings.join()).toContain('reads too slowly')
    writer.text = ''
    writer.send(NEED.replace('"k1"', '"k0"'))
    await writer.frames(1)
  })

  test('connections are counted', async () => {
    const { port } = await start('relay.conf', relayConf({ limits: { connections: 2 } }))
    const clients = [
      await RawClient.connect(port),
      await RawClient.connect(port),
      await RawClient.connect(port),
    ]
    await until(async () => clients.some(({ ended }) => ended), 'the third is sent away')
  })
})
