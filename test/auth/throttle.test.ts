import { addressGroup } from '../../auth/address-group'
import { Throttle } from '../../auth/throttle'
import type { Attempt } from '../../auth/throttle'
import { BucketName } from '../../core'

const attempt = (address: string, more: Partial<Attempt> = {}): Attempt => ({
  owner: BucketName.of('elena'),
  mode: 'secret',
  address,
  guessable: true,
  ...more,
})

async function fail(throttle: Throttle, one: Attempt): Promise<void> {
  await throttle.admit(one)
  await throttle.failed(one)
}

describe('address groups', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::ffff:c000:201', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:0DB8:1:2::9', '2001:db8:1:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['1::', '1:0:0:0::/64'],
    ['nonsense', '-'],
    [undefined, '-'],
  ])('%s is of %s', (address, group) => expect(addressGroup(address)).toBe(group))
})

describe('throttling', () => {
  it('refuses an address at an account after so many failures, and nobody else', async () => {
    const throttle = new Throttle({ perAccountAndAddress: 3, delayAfter: 1000 })
    for (let i = 0; i < 3; i++) await fail(throttle, attempt('192.0.2.1'))
    const refused = throttle.admit(attempt('192.0.2.1'))
    await expect(refused).rejects.toMatchObject({ code: 'too_many_requests' })
    const error = (await refused.catch((e: unknown) => e)) as { retryAfter: number }
    expect(error.retryAfter).toBeGreaterThan(890)
    expect(error.retryAfter).toBeLessThanOrEqual(900)
    // the owner at home, another account, and the account's administrators from the same address
    await throttle.admit(attempt('192.0.2.2'))
    await throttle.admit(attempt('192.0.2.1', { owner: BucketName.of('lily') }))
    await throttle.admit(attempt('192.0.2.1', { mode: 'admin' }))
  })

  it('counts each administrator of an account by himself, and many of them against the address', async () => {
    const throttle = new Throttle({
      perAccountAndAddress: 3,
      perAddress: 8,
      delayAfter: 2,
      delayStep: 600,
      delayMost: 600,
    })
    const admin = (name: string, address = '192.0.2.1') => attempt(address, { mode: 'admin', admin: name })
    for (let i = 0; i < 3; i++) await fail(throttle, admin('ann'))
    await expect(throttle.admit(admin('ann'))).rejects.toMatchObject({ code: 'too_many_requests' })
    const before = performance.now()
    await throttle.admit(admin('ben'))
    await throttle.succeeded(admin('ben'))
    // Were he counted with her, he would wait for 600 ms.
    expect(performance.now() - before).toBeLessThan(500)
    for (let i = 0; i < 5; i++) await fail(throttle, admin('guess' + i))
    await expect(throttle.admit(admin('ben'))).rejects.toMatchObject({ code: 'too_many_requests' })
    await throttle.admit(admin('ben', '192.0.2.2'))
  })

  it('counts attempts that are sent all at once', async () => {
    const throttle = new Throttle({ perAccountAndAddress: 3 })
    const sent = await Promise.allSettled(
      Array.from({ length: 20 }, () => throttle.admit(attempt('192.0.2.1'))),
    )
    expect(sent.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
  })

  it('forgets the failures of whoever succeeds', async () => {
    const throttle = new Throttle({ perAccountAndAddress: 3 })
    for (let round = 0; round < 3; round++) {
      await fail(throttle, attempt('192.0.2.1'))
      await fail(throttle, attempt('192.0.2.1'))
      await throttle.admit(attempt('192.0.2.1'))
      await throttle.succeeded(attempt('192.0.2.1'))
    }
  })

  it('refuses an address that fails at many accounts', async () => {
    const throttle = new Throttle({ perAddress: 5 })
    for (let i = 0; i < 5; i++)
      await fail(throttle, attempt('2001:db8::' + i, { owner: BucketName.of('user' + i) }))
    await expect(throttle.admit(attempt('2001:db8::77'))).rejects.toMatchObject({ code: 'too_many_requests' })
    await throttle.admit(attempt('2001:db8:0:1::1'))
  })

  it('only delays when an account is attacked from everywhere, by a limit, and no generated secret', async () => {
    const throttle = new Throttle({ delayAfter: 5, delayStep: 40, delayMost: 120 })
    for (let i = 0; i < 30; i++) await throttle.failed(attempt('198.51.100.' + i))
    const time = async (one: Attempt): Promise<number> => {
      const before = performance.now()
      await throttle.admit(one)
      return performance.now() - before
    }
    const slowed = await time(attempt('203.0.113.1'))
    expect(slowed).toBeGreaterThan(110)
    expect(slowed).toBeLessThan(1000)
    expect(await time(attempt('203.0.113.1', { guessable: false }))).toBeLessThan(60)
  })
})
