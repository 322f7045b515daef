import { Webhook } from 'standardwebhooks'
import { probeAfter, waitAfter } from '../../../services/hooks/schedule'
import { signatureHeaders } from '../../../services/hooks/signature'
import { Slots } from '../../../services/hooks/slots'
import { Window } from '../../../services/hooks/window'

const HOURS = 3_600_000
const RETRIES = [5_000, 300_000, 1_800_000, 2 * HOURS, 5 * HOURS, 10 * HOURS]

describe('the schedule', () => {
  it('waits as it is told after each try, up to a tenth longer by chance, and in the end no more', () => {
    for (const [i, wait] of RETRIES.entries()) {
      expect(waitAfter(i + 1, RETRIES, { random: () => 0 })).toBe(wait)
      expect(waitAfter(i + 1, RETRIES, { random: () => 0.5 })).toBe(wait * 1.05)
      expect(waitAfter(i + 1, RETRIES, { random: () => 1 })).toBe(Math.round(wait * 1.1))
    }
    expect(waitAfter(RETRIES.length + 1, RETRIES)).toBeUndefined()
    expect(waitAfter(1, [])).toBeUndefined()
  })

  it('waits longer where the endpoint asks for it, never shorter', () => {
    expect(waitAfter(1, RETRIES, { random: () => 0, retryAfter: 60_000 })).toBe(60_000)
    expect(waitAfter(2, RETRIES, { random: () => 0, retryAfter: 60_000 })).toBe(300_000)
  })

  it('asks an endpoint that is down ever less often, but at least every five minutes', () => {
    const waits = Array.from({ length: 20 }, (_, failures) => probeAfter(failures, 5_000))
    expect(waits[0]).toBe(5_000)
    expect(waits).toEqual([...waits].sort((a, b) => a - b))
    expect(waits.at(-1)).toBe(300_000)
  })
})

describe('a signature', () => {
  const secret = 'whsec_' + Buffer.alloc(32, 7).toString('base64')
  const other = 'whsec_' + Buffer.alloc(32, 8).toString('base64')
  const body = '{"type":"entry.created","data":{"v":"ünï"}}'

  it('is one that the reference library accepts, of each secret that signs', () => {
    const headers = signatureHeaders([secret, other], 'msg_1', Date.now(), body)
    expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body))
    expect(new Webhook(other).verify(body, headers)).toEqual(JSON.parse(body))
  })

  it('is refused for another body, id, time or secret', () => {
    const headers = signatureHeaders([secret], 'msg_1', Date.now(), body)
    const verify =
      (text: string, sent: Record<string, string>, by = secret) =>
      () =>
        new Webhook(by).verify(text, sent)
    expect(verify(body, headers)).not.toThrow()
    expect(verify(body + ' ', headers)).toThrow()
    expect(verify(body, { ...headers, 'webhook-id': 'msg_2' })).toThrow()
    expect(
      verify(body, { ...headers, 'webhook-timestamp': String(Number(headers['webhook-timestamp']) + 1) }),
    ).toThrow()
    expect(verify(body, headers, other)).toThrow()
    expect(verify(body, signatureHeaders([secret], 'msg_1', Date.now() - 3_600_000, body))).toThrow()
  })
})

describe('a window', () => {
  const begin = { cursor: 'c0', done: [], at: 0 }

  it('moves its cursor behind the first event that is not done with, whatever is done behind it', () => {
    const window = new Window(begin)
    for (const n of [1, 2, 3]) window.read(`e${n}`, `c${n}`, n)
    window.done('e3')
    window.done('e2')
    expect(window.reached).toMatchObject({ cursor: 'c0', at: 1 })
    expect([...window.reached.done].sort()).toEqual(['e2', 'e3'])
    window.done('e1')
    expect(window.reached.cursor).toBe('c3')
    expect(window.size).toBe(0)
  })

  it('knows what was done behind a cursor that lies before it, also after a restart', () => {
    const window = new Window(begin)
    // The first two of a batch of three are told with the cursor before it.
    for (const [id, cursor] of [
      ['e1', 'c0'],
      ['e2', 'c0'],
      ['e3', 'c3'],
    ] as const)
      window.read(id, cursor, 1)
    window.done('e1')
    window.done('e2')
    const again = new Window(window.reached)
    expect(window.reached.cursor).toBe('c0')
    expect(['e1', 'e2', 'e3'].map((id) => again.isNew(id))).toEqual([false, false, true])
    again.read('e3', 'c3', 1)
    again.done('e3')
    expect(again.reached.cursor).toBe('c3')
  })

  it('follows what passes by, behind what is open', () => {
    const window = new Window(begin)
    window.passed('c1')
    expect(window.reached.cursor).toBe('c1')
    window.read('e2', 'c2', 2)
    window.passed('c9')
    expect(window.reached.cursor).toBe('c1')
    window.done('e2')
    expect(window.reached.cursor).toBe('c9')
  })

  it('keeps little in mind of what was done', () => {
    const window = new Window(begin)
    for (let n = 1; n <= 5_000; n++) {
      window.read(`e${n}`, `c${n}`, n)
      window.done(`e${n}`)
    }
    expect(window.reached.done.length).toBeLessThan(5)
  })
})

describe('slots', () => {
  it('are so many in all and for each account, and whoever is at his limit is passed by', async () => {
    const slots = new Slots({ all: 3, perAccount: 2 })
    const { signal } = new AbortController()
    const got: string[] = []
    const take = (account: string) =>
      slots.take(account, `hook of ${account}`, signal).then((release) => {
        got.push(account)
        return release!
      })
    const [first] = await Promise.all([take('a'), take('a')])
    const third = take('a')
    const other = take('b')
    await other
    expect(got).toEqual(['a', 'a', 'b'])
    first()
    // A slot that is given back twice counts once.
    first()
    await third
    expect(got).toEqual(['a', 'a', 'b', 'a'])
    const abort = new AbortController()
    const waiting = slots.take('b', 'hook of b', abort.signal)
    abort.abort()
    expect(await waiting).toBeUndefined()
  })

  it('gives what is free to the account that has the fewest', async () => {
    const slots = new Slots({ all: 2, perAccount: 2, most: 2 })
    const { signal } = new AbortController()
    const [first] = await Promise.all([slots.take('a', '1', signal), slots.take('a', '2', signal)])
    const got: string[] = []
    const third = slots.take('a', '3', signal).then(() => got.push('a'))
    const other = slots.take('b', '4', signal).then((release) => {
      got.push('b')
      release!()
    })
    first!()
    await Promise.all([third, other])
    expect(got).toEqual(['b', 'a'])
  })

  it('has one for each hook, whatever others have taken', async () => {
    const slots = new Slots({ all: 2, perAccount: 2 })
    const { signal } = new AbortController()
    const releases = await Promise.all([slots.take('a', 'slow', signal), slots.take('a', 'slow', signal)])
    const [own, ofAnother] = await Promise.all([
      slots.take('a', 'fast', signal),
      slots.take('b', 'x', signal),
    ])
    let isTaken = false
    const second = slots.take('a', 'fast', signal).finally(() => (isTaken = true))
    releases[0]!()
    await new Promise((resolve) => setImmediate(resolve))
    expect(isTaken).toBe(false)
    own!()
    ;(await second)!()
    ofAnother!()
  })
})
