import { Kv4Error } from '../../core'
import { HashingQueue } from '../../auth/hashing-queue'
import { Passwords } from '../../auth/passwords'
import { Pepper } from '../../auth/pepper'

const pepper = new Pepper('a pepper that is long enough')
const cheap = { ln: 4, r: 8, p: 1 }
const passwords = new Passwords(pepper, cheap)

describe('passwords', () => {
  it('are hashed at the promised cost unless told otherwise, within a salt of their own', async () => {
    const real = new Passwords(pepper)
    const phc = await real.hash('correct horse')
    expect(phc).toMatch(/^\$scrypt\$ln=15,r=8,p=3,keyid=[0-9a-f]{8}\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/)
    expect(await real.check('correct horse', phc)).toEqual({ matches: true, outdated: false })
    expect(await passwords.hash('same')).not.toBe(await passwords.hash('same'))
  })

  it('match only themselves, in either spelling of a letter', async () => {
    const phc = await passwords.hash('caf\u00e9!')
    expect(await passwords.check('cafe\u0301!', phc)).toEqual({ matches: true, outdated: false })
    expect((await passwords.check('cafe!', phc)).matches).toBe(false)
    const others = new Passwords(new Pepper('another pepper, long enough'), cheap)
    expect((await others.check('caf\u00e9!', phc)).matches).toBe(false)
  })

  it('say when their hash was made at another cost', async () => {
    const phc = await new Passwords(pepper, { ln: 5, r: 8, p: 1 }).hash('password')
    expect(await passwords.check('password', phc)).toEqual({ matches: true, outdated: true })
    expect(await passwords.check('wrong', phc)).toMatchObject({ matches: false })
  })

  it.each(['abc', '    ', 'x'.repeat(257), 'tab\there', 'nul\u0000', 'lone \ud800'])(
    'refuse %j',
    async (password) => {
      await expect(passwords.hash(password)).rejects.toMatchObject({ code: 'bad_password_format' })
    },
  )

  it('take as long for nobody as for somebody', async () => {
    const slow = new Passwords(pepper, { ln: 13, r: 8, p: 1 })
    const phc = await slow.hash('password')
    const times: number[][] = [[], [], []]
    // In turns, so that a busy machine slows all of them.
    for (let i = 0; i < 15; i++)
      for (const [which, stored] of [undefined, 'rubbish', phc].entries()) {
        const before = performance.now()
        await slow.check('wrong', stored)
        times[which]!.push(performance.now() - before)
      }
    const [nobody, unreadable, somebody] = times.map((all) => all.sort((a, b) => a - b)[7]!) as [
      number,
      number,
      number,
    ]
    for (const other of [nobody, unreadable]) {
      expect(other / somebody).toBeGreaterThan(0.4)
      expect(other / somebody).toBeLessThan(2.5)
    }
  })
})

describe('the hashing queue', () => {
  it('runs so many, lets so many wait, and sends the rest away with a time to come back', async () => {
    const queue = new HashingQueue({ concurrency: 2, waiting: 3 })
    let running = 0
    let most = 0
    const releases: (() => void)[] = []
    const work = async (): Promise<void> => {
      most = Math.max(most, ++running)
      await new Promise<void>((resolve) => releases.push(resolve))
      running--
    }
    const admitted = Array.from({ length: 5 }, () => queue.run(work))
    const refused = await queue.run(work).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(Kv4Error)
    expect(refused).toMatchObject({ code: 'overloaded', retryAfter: 1 })
    for (let done = 0; done < 5;) {
      const release = releases.shift()
      if (release) {
        release()
        done++
      }
      await new Promise(setImmediate)
    }
    await Promise.all(admitted)
    expect(most).toBe(2)
  })

  it('gives the slot back after a failure', async () => {
    const queue = new HashingQueue({ concurrency: 1, waiting: 1 })
    await expect(queue.run(() => Promise.reject(new Error('no')))).rejects.toThrow('no')
    expect(await queue.run(() => Promise.resolve(7))).toBe(7)
  })
})
