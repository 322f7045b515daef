import { Client, type Answer, type Row, type Versioned } from '../client'
import { startPlatform, type Platform } from '../platform'

let platform: Platform
let sys: Client
beforeAll(async () => {
  platform = await startPlatform()
  sys = platform.sys
})
afterAll(() => platform.close())

let serial = 0

/** A name that no other test has. */
function name(stem = 'user'): string {
  return `${stem}${++serial}`
}

const as = (user: string, password: string): Client => new Client(platform.url, user, password)

/** A new primary account. */
async function primary(
  username = name('elena'),
  v: object = {},
): Promise<Client & { readonly username: string }> {
  const body = { k: username, v: { email: `${username}@async.cl`, ...v } }
  const { secret } = await sys.ok(sys.put<Made>('/_acc/accounts', body))
  return Object.assign(as(username, secret), { username })
}

/** A new sub-account. */
async function sub(
  of: Client,
  username = name('lily'),
  v: object = {},
): Promise<Client & { readonly username: string }> {
  const body = { k: username, v: { email: `${username}@async.cl`, ...v } }
  const { secret } = await of.ok(of.put<Made>('/_acc/accounts', body))
  return Object.assign(as(`${of.user}#${username}`, secret), { username })
}

/** The same login with another proof. */
const but = (client: Client, password: string): Client => as(client.user, password)

async function code(answer: Promise<Answer<unknown>>): Promise<string> {
  const { body } = await answer
  expect(body.s).toBe('error')
  return String(body.v)
}

/** The answer that shows a secret. */
interface Made extends Versioned {
  readonly secret: string
}

/** Members in the order in which they are on the wire. */
const members = (value: object): string[] => Object.keys(value)

it('walks through the account story of the platform’s own notes', async () => {
  const seconds = Math.floor(Date.now() / 1000)
  const made = await sys.put<Made>('/_acc/accounts', {
    k: 'elena',
    v: { email: 'elena@async.cl', password: 'woot' },
  })
  expect(made.status).toBe(201)
  expect(members(made.body.v)).toEqual([
    'username',
    'term',
    'secret',
    'plan',
    'password',
    'last_name',
    'first_name',
    'email',
    'customer_id',
    'created',
    'company',
    'active',
    '_ver_',
  ])
  const { secret: elenas, created, _ver_, ...rest } = made.body.v
  expect(rest).toEqual({
    username: 'elena',
    term: 'monthly',
    plan: 'free',
    password: 'woot',
    last_name: null,
    first_name: null,
    email: 'elena@async.cl',
    customer_id: null,
    company: null,
    active: true,
  })
  expect(elenas).toMatch(/^kv4_[0-9A-Za-z]{49}$/)
  expect(created).toBeGreaterThanOrEqual(seconds)
  expect(created).toBeLessThan(seconds + 60)
  expect(made.headers.get('etag')).toBe(`"${_ver_}"`)

  for (const query of ['k=elena', 'k2=elena@async.cl', 'k2=ELENA%40Async.CL']) {
    const { body } = await sys.get('/_acc/accounts?' + query)
    expect(members(body.v)).toEqual([
      'username',
      'last_name',
      'first_name',
      'email',
      'created',
      'company',
      'active',
      '_ver_',
    ])
    expect(body.v).toEqual({
      username: 'elena',
      last_name: null,
      first_name: null,
      email: 'elena@async.cl',
      created,
      company: null,
      active: true,
      _ver_,
    })
  }

  const elena = as('elena', elenas)
  const { secret: lilys } = await elena.ok(
    elena.put<Made>('/_acc/accounts', { k: 'lily', v: { email: 'lily@async.cl', password: 'woot2' } }),
  )
  expect(await elena.ok(elena.get('/_acc/accounts'))).toEqual(['lily'])
  const deactivated = await elena.ok(elena.post('/_acc/accounts', { k: 'lily', v: { active: false } }))
  expect(deactivated).toMatchObject({ username: 'lily', active: false })
  expect(await elena.ok(elena.get('/_acc/accounts?k=lily'))).toMatchObject({
    active: false,
    email: 'lily@async.cl',
  })

  const tree = '/_ns/a/path/that/lily/created'
  expect(await code(as('lily', lilys).put(tree))).toBe('unauthorized')
  const lily = as('elena#lily', lilys)
  expect(await code(lily.put(tree))).toBe('unauthorized')
  await elena.ok(elena.post('/_acc/accounts', { k: 'lily', v: { active: true } }))
  await lily.ok(lily.put(tree))
  expect(await lily.ok(lily.get('/_ns/?depth=5'))).toEqual(['a/path/that/lily/created'])

  const onBehalf = '/_ns/a/path/that/elena/created/for/lily'
  expect(await code(but(lily, elenas).put(onBehalf))).toBe('unauthorized')
  const proxy = but(lily, '!' + elenas)
  await proxy.ok(proxy.put(onBehalf))
  expect(await lily.ok(lily.get('/_ns/?depth=7'))).toEqual([
    'a/path/that/elena/created/for/lily',
    'a/path/that/lily/created',
  ])
  expect(await elena.ok(elena.get('/_ns/'))).toEqual([])

  expect(await elena.ok(elena.delete('/_acc/accounts?k=lily'))).toBe(1)
  expect(await code(lily.get('/_ns/'))).toBe('unauthorized')
  expect(await elena.ok(elena.get('/_acc/accounts'))).toEqual([])
})

describe('creating an account', () => {
  it.each<[string, unknown]>([
    ['require_account_details', undefined],
    ['require_account_details', { k: 'rose' }],
    ['require_account_details', { k: 'rose', v: 'a text' }],
    ['require_account_details', { k: 'rose', v: null }],
    ['require_account_details', { k: 'rose', v: ['rose@async.cl'] }],
    ['bad_email', { k: 'rose', v: {} }],
    ['bad_email', { k: 'rose', v: { email: null } }],
    ['bad_email', { k: 'rose', v: { email: 7 } }],
    ['bad_email', { k: 'rose', v: { email: 'rose' } }],
    ['bad_email', { k: 'rose', v: { email: 'rose@' } }],
    ['bad_email', { k: 'rose', v: { email: 'a@b@c.de' } }],
    ['bad_email', { k: 'rose', v: { email: 'rose @async.cl' } }],
    ['bad_email', { k: 'rose', v: { email: 'rose@async..cl' } }],
    ['bad_email', { k: 'rose', v: { email: 'x'.repeat(250) + '@async.cl' } }],
    ['key_missing', { v: { email: 'rose@async.cl' } }],
    ['bad_username', { k: 7, v: { email: 'rose@async.cl' } }],
    ['bad_username', { k: 'ros', v: { email: 'rose@async.cl' } }],
    ['bad_username', { k: '1rose', v: { email: 'rose@async.cl' } }],
    ['bad_username', { k: 'rose#lily', v: { email: 'rose@async.cl' } }],
    ['bad_username', { k: 'rose)lily', v: { email: 'rose@async.cl' } }],
    ['bad_username', { k: '$sys', v: { email: 'rose@async.cl' } }],
    ['bad_username', { k: '../elena', v: { email: 'rose@async.cl' } }],
    ['bad_username', { k: 'r'.repeat(65), v: { email: 'rose@async.cl' } }],
    ['username_is_immutable', { k: 'rose', v: { email: 'rose@async.cl', username: 'lily' } }],
    ['bad_password_format', { k: 'rose', v: { email: 'rose@async.cl', password: 'abc' } }],
    ['bad_secret_format', { k: 'rose', v: { email: 'rose@async.cl', secret: 'short' } }],
    ['bad_secret_format', { k: 'rose', v: { email: 'rose@async.cl', secret: '!' + 'x'.repeat(20) } }],
    ['bad_request', { k: 'rose', v: { email: 'rose@async.cl', active: 'yes' } }],
    ['bad_request', { k: 'rose', v: { email: 'rose@async.cl', company: 7 } }],
  ])('%s for %j, and nothing is made', async (expected, body) => {
    for (const method of ['PUT', 'POST'])
      expect(await code(sys.call(method, '/_acc/accounts', body === undefined ? {} : { body }))).toBe(
        expected,
      )
    expect(await code(sys.get('/_acc/accounts?k=rose'))).toBe('not_found')
    expect(await code(sys.get('/_acc/accounts?k2=rose@async.cl'))).toBe('not_found')
  })

  it('happens once per name and per address, whatever its case', async () => {
    const { username } = await primary()
    const again = (k: string, email: string) => code(sys.put('/_acc/accounts', { k, v: { email } }))
    expect(await again(username, 'another@async.cl')).toBe('username_exists')
    expect(await again(name(), `${username}@async.cl`)).toBe('email_exists')
    expect(await again(name(), `${username.toUpperCase()}@ASYNC.cl`)).toBe('email_exists')
  })

  it('has one winner among many', async () => {
    const username = name()
    const all = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        sys.put<Made>('/_acc/accounts', { k: username, v: { email: `${i}.${username}@async.cl` } }),
      ),
    )
    const won = all.filter(({ body }) => body.s === 'ok')
    expect(won).toHaveLength(1)
    expect(new Set(all.map(({ body }) => (body.s === 'ok' ? 'ok' : body.v)))).toEqual(
      new Set(['ok', 'username_exists']),
    )
    const winner = as(username, won[0]!.body.v.secret)
    expect(await winner.ok(winner.get('/_ds'))).toEqual([])
    for (let i = 0; i < 10; i++)
      if (won[0]!.body.v.email !== `${i}.${username}@async.cl`)
        expect(await code(sys.get(`/_acc/accounts?k2=${i}.${username}@async.cl`))).toBe('not_found')
  })

  it('takes what is given, the secret too, and the same names in other accounts', async () => {
    const secret = '8af2a710-eba7-11e5-b4a0-9cdd20b4c6b5'
    const elena = await primary(undefined, {
      secret,
      first_name: 'Elena',
      plan: 'pro',
      created: 1,
      shoe: { size: 38 },
    })
    expect(elena.password).toBe(secret)
    expect(await elena.ok(elena.get('/_ns'))).toEqual([])
    const shown = await sys.ok(sys.get('/_acc/accounts?k=' + elena.username))
    expect(shown).toMatchObject({ first_name: 'Elena', shoe: { size: 38 } })
    expect(shown.created).toBeGreaterThan(1e9)
    expect(members(shown)).not.toEqual(expect.arrayContaining(['secret']))
    await sub(elena, elena.username)
    await sub(await primary(), elena.username)
  })

  it('is a merge when POST finds one, a creation when it does not', async () => {
    const username = name()
    const made = await sys.post('/_acc/accounts', { k: username, v: { email: `${username}@async.cl` } })
    expect(made.status).toBe(201)
    expect(made.body.v.secret).toMatch(/^kv4_/)
    const merged = await sys.post('/_acc/accounts', { k: username, v: { company: 'woot' } })
    expect(merged.status).toBe(200)
    expect(merged.body.v).toMatchObject({ username, email: `${username}@async.cl`, company: 'woot' })
    expect(members(merged.body.v)).not.toContain('secret')
    expect(merged.body.v._ver_).not.toBe(made.body.v._ver_)
  })
})

describe('changing an account', () => {
  it('leaves everything as it is when the user name is to change', async () => {
    const { username } = await primary()
    const before = await sys.ok(sys.get('/_acc/accounts?k=' + username))
    const body = { k: username, v: { username: 'somebody', company: 'woot' } }
    expect(await code(sys.post('/_acc/accounts', body))).toBe('username_is_immutable')
    expect(await sys.ok(sys.get('/_acc/accounts?k=' + username))).toEqual(before)
    await sys.ok(sys.post('/_acc/accounts', { k: username, v: { username, company: 'woot' } }))
  })

  it('moves the lookup with the e-mail address', async () => {
    const [one, two] = [await primary(), await primary()]
    const change = (email: string) => sys.post('/_acc/accounts', { k: one.username, v: { email } })
    expect(await code(change(`${two.username.toUpperCase()}@async.cl`))).toBe('email_exists')
    expect(await code(change('nothing'))).toBe('bad_email')
    await sys.ok(change(`New.${one.username}@async.cl`))
    expect(await code(sys.get(`/_acc/accounts?k2=${one.username}@async.cl`))).toBe('not_found')
    expect(await sys.ok(sys.get(`/_acc/accounts?k2=new.${one.username}@async.cl`))).toMatchObject({
      username: one.username,
      email: `New.${one.username}@async.cl`,
    })
    await sys.ok(change(`${one.username}@async.cl`))
    await primary(undefined, { email: `new.${one.username}@async.cl` })
  })

  it('cannot reach what proves', async () => {
    const elena = await primary()
    const v = {
      proof: { secrets: [] },
      hash: 'x',
      profile: { active: false },
      deleting: true,
      password: 'chosen one',
    }
    const shown = await sys.ok(sys.post('/_acc/accounts', { k: elena.username, v }))
    expect(shown).toMatchObject({
      proof: { secrets: [] },
      profile: { active: false },
      deleting: true,
      active: true,
    })
    expect(JSON.stringify(shown)).not.toContain('chosen one')
    expect(await elena.ok(elena.get('/_ns'))).toEqual([])
  })

  it('heeds If-Match and a _ver_, without needing one', async () => {
    const { username } = await primary()
    const first = await sys.ok(sys.get('/_acc/accounts?k=' + username))
    const post = (v: object, headers = {}) => sys.post('/_acc/accounts', { k: username, v }, headers)
    const second = await sys.ok(
      post({ company: 'one', _ver_: first._ver_ }, { 'If-Match': `"${first._ver_}"` }),
    )
    expect(members(second).filter((member) => member === '_ver_')).toHaveLength(1)
    expect(await code(post({ company: 'two' }, { 'If-Match': `"${first._ver_}"` }))).toBe(
      'precondition_failed',
    )
    expect(await code(post({ company: 'two', _ver_: first._ver_ }))).toBe('version_conflict')
    await sys.ok(post({ company: 'two', _ver_: '_splat_' }))
    expect(await code(sys.delete('/_acc/accounts?k=' + username, { 'If-Match': `"${first._ver_}"` }))).toBe(
      'precondition_failed',
    )
    expect(await sys.ok(sys.get('/_acc/accounts?k=' + username))).toMatchObject({
      company: 'two',
      active: true,
    })
  })

  it('loses no merge of many at once', async () => {
    const { username } = await primary()
    await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        sys.ok(sys.post('/_acc/accounts', { k: username, v: { ['p' + i]: i } })),
      ),
    )
    const shown = await sys.ok(sys.get('/_acc/accounts?k=' + username))
    for (let i = 0; i < 20; i++) expect(shown['p' + i]).toBe(i)
  })
})

describe('a new secret', () => {
  it('is generated or given, shown once, and the old one goes on for the overlap', async () => {
    const elena = await primary()
    const rotate = (v: object) => sys.ok(sys.post<Made>('/_acc/accounts', { k: elena.username, v }))
    const before = Math.floor(Date.now() / 1000)
    const rotated = await rotate({ secret: 'rotate', company: 'woot' })
    expect(rotated).toMatchObject({ username: elena.username, company: 'woot', active: true })
    expect(rotated.secret).toMatch(/^kv4_/)
    expect(rotated.secret_expires).toBeGreaterThanOrEqual(before + 86_400)
    expect(rotated.secret_expires).toBeLessThan(before + 86_460)
    const [second, lily] = [but(elena, rotated.secret), await sub(elena)]
    expect(await elena.ok(elena.get('/_ns'))).toEqual([])
    expect(await second.ok(second.get('/_ns'))).toEqual([])
    expect(await code(but(lily, '!' + elena.password).get('/_ns/x/?depth=a'))).toBe('bad_request')

    // Two are alive at most.
    const third = but(elena, (await rotate({ secret: 'a-secret-that-was-chosen' })).secret)
    expect(third.password).toBe('a-secret-that-was-chosen')
    expect(await code(elena.get('/_ns'))).toBe('unauthorized')
    expect(await second.ok(second.get('/_ns'))).toEqual([])
    expect(await third.ok(third.get('/_ns'))).toEqual([])

    const fourth = but(elena, (await rotate({ secret: 'rotate', secret_overlap: 0 })).secret)
    for (const old of [elena, second, third]) expect(await code(old.get('/_ns'))).toBe('unauthorized')
    expect(await fourth.ok(fourth.get('/_ns'))).toEqual([])
    const shown = await sys.ok(sys.get('/_acc/accounts?k=' + elena.username))
    expect(members(shown)).toEqual([
      'username',
      'last_name',
      'first_name',
      'email',
      'created',
      'company',
      'active',
      '_ver_',
    ])
    for (const secret_overlap of [-1, 0.5, '10', 31 * 86_400])
      expect(
        await code(
          sys.post('/_acc/accounts', { k: elena.username, v: { secret: 'rotate', secret_overlap } }),
        ),
      ).toBe('bad_request')
  })

  it('can be had by an account for itself, by a sub-account too, but not by an administrator', async () => {
    const elena = await primary()
    const lily = await sub(elena)
    await elena.ok(elena.put('/_acc/users/admins', { k: 'boss', v: { password: 'woot' } }))
    for (const own of [elena, lily]) {
      const shown = await own.ok(own.get('/_acc/self'))
      expect(shown).toMatchObject({ username: own.username, active: true })
      const { secret } = await own.ok(
        own.post<Made>('/_acc/self', { v: { secret: 'rotate', secret_overlap: 0 } }),
      )
      expect(await code(own.get('/_ns'))).toBe('unauthorized')
      const renewed = but(own, secret)
      expect(await renewed.ok(renewed.get('/_acc/self'))).toMatchObject({ username: own.username })
      for (const v of [{ active: true }, { plan: 'pro' }, { secret: 'rotate', email: 'x@y.z' }])
        expect(await code(renewed.post('/_acc/self', { v }))).toBe('bad_request')
      expect(await code(renewed.post('/_acc/self', { v: 'rotate' }))).toBe('require_account_details')
    }
    const boss = but(elena, 'boss#woot')
    expect(await boss.ok(boss.get('/_acc/self'))).toMatchObject({ username: elena.username })
    expect(await code(boss.post('/_acc/self', { v: { secret: 'rotate' } }))).toBe('forbidden')
    expect(await sys.ok(sys.get('/_acc/self'))).toMatchObject({ username: '$sys', active: true })
  })
})

describe('reading accounts', () => {
  it('lists by name, in pages, as values and as datum', async () => {
    const elena = await primary()
    for (const username of ['carl', 'anna', 'bert']) await sub(elena, username)
    const get = <V>(query: string) => elena.get<V>('/_acc/accounts?' + query)
    expect(await elena.ok(get(''))).toEqual(['anna', 'bert', 'carl'])
    const page = await get('limit=2')
    expect(page.body).toEqual({ v: ['anna', 'bert'], next: 'bert', s: 'ok' })
    expect((await get('limit=2&after=bert')).body).toEqual({ v: ['carl'], s: 'ok' })
    for (const limit of ['0', '-1', 'x', '10001'])
      expect(await code(get('limit=' + limit))).toBe('bad_request')
    const values = await elena.ok(get<Versioned[]>('as=values'))
    expect(values.map(({ username }) => username)).toEqual(['anna', 'bert', 'carl'])
    expect(values[0]).toEqual(await elena.ok(get('k=anna')))
    for (const as of ['datum', '1']) {
      const [datum] = await elena.ok(get<Versioned[]>('as=' + as + '&limit=1'))
      expect(datum).toEqual({
        w: elena.username,
        k: 'anna',
        l: '*acc',
        p: '/accounts',
        t: expect.any(Number),
        m: null,
        v: values[0],
        s: 'c',
        a: null,
        _id: values[0]!._ver_,
        _rev: values[0]!._ver_,
      })
    }
    expect(await code(get('k=nobody'))).toBe('not_found')
    expect(await code(get('k=anna&k2=anna@async.cl'))).toBe('bad_request')
    expect(
      (await elena.get('/_acc/accounts?k=anna', { 'If-None-Match': `"${values[0]!._ver_}"` })).status,
    ).toBe(304)
  })

  it('shows the history, and never a hash anywhere', async () => {
    const elena = await primary(undefined, { password: 'the password' })
    const seen: unknown[] = []
    const post = async (v: object) => sys.ok(sys.post('/_acc/accounts', { k: elena.username, v }))
    seen.push(
      await post({ company: 'one' }),
      await post({ secret: 'rotate' }),
      await post({ password: 'another password' }),
    )
    const series = await sys.ok(sys.get<Row[]>(`/_acc/accounts?k=${elena.username}&time_series=1`))
    expect(series).toHaveLength(4)
    expect(series.map(([, by]) => by)).toEqual(['$sys', '$sys', '$sys', '$sys'])
    expect(series[2]![2]).toMatchObject({ username: elena.username, company: 'one' })
    expect(series[3]![2]).toMatchObject({ company: null })
    for (const [seconds] of series) expect(seconds).toBeGreaterThan(1e9)
    expect(await sys.ok(sys.get(`/_acc/accounts?k=${elena.username}&time_series=1&ge=2001`))).toEqual([])
    expect(await code(sys.get(`/_acc/accounts?k=${elena.username}&time_series=1&gs=later`))).toBe('bad_range')
    expect(await code(sys.get('/_acc/accounts?time_series=1'))).toBe('key_missing')

    await elena.ok(elena.put('/_acc/users/admins', { k: 'boss', v: { password: 'boss password' } }))
    for (const client of [sys, elena])
      for (const target of [
        '/_acc/accounts?as=values',
        '/_acc/accounts?as=datum',
        '/_acc/self',
        '/_acc/users/admins?as=values',
        '/_acc/users/admins?as=datum',
        '/_acc/users/admins?k=boss',
        '/_acc/users/admins?k=boss&time_series=1',
        `/_acc/accounts?k=${elena.username}`,
        `/_ds?a=layers`,
        '/_ds?a=paths&l=*acc',
        `/_ds/accounts?a=keys&l=*acc`,
      ])
        seen.push((await client.get(target)).body)
    const text = JSON.stringify([series, seen])
    for (const trace of [
      '$scrypt',
      '$hmac',
      'keyid',
      'password"',
      'the password',
      'another password',
      'boss password',
      '^acc',
      elena.password,
    ])
      expect(text.replaceAll(/"secret":"kv4_\w+"/g, '')).not.toContain(trace)
  })
})

describe('deleting an account', () => {
  it('takes all its data, its sub-accounts, and nothing else', async () => {
    const elena = await primary()
    const [lily, rose] = [await sub(elena), await sub(elena)]
    const other = await primary()
    const namesake = await sub(other, lily.username)
    for (const client of [elena, lily, rose, other, namesake])
      await client.ok(client.put('/_data/my/path', { k: 'key', v: { of: client.user } }))

    expect(await elena.ok(elena.delete('/_acc/accounts?k=' + rose.username))).toBe(1)
    expect(await code(elena.delete('/_acc/accounts?k=' + rose.username))).toBe('not_found')
    expect(await code(rose.get('/_data/my/path'))).toBe('unauthorized')
    expect(await lily.ok(lily.get('/_data/my/path'))).toEqual(['key'])

    expect(await sys.ok(sys.delete('/_acc/accounts?k=' + elena.username))).toBe(1)
    for (const client of [elena, lily, but(lily, '!' + elena.password)])
      expect(await code(client.get('/_data/my/path'))).toBe('unauthorized')
    for (const client of [other, namesake])
      expect(await client.ok(client.get('/_data/my/path'))).toEqual(['key'])
    expect(await code(sys.get('/_acc/accounts?k=' + elena.username))).toBe('not_found')
    expect(await sys.ok(sys.get(`/_acc/accounts?k=${elena.username}&time_series=1`))).toMatchObject([
      [expect.any(Number), '$sys', { _deleted: true }],
      {},
      {},
    ])

    // The name and the address are free again, and what is behind them is empty, history included.
    const again = await primary(elena.username)
    expect(await again.ok(again.get('/_ds'))).toEqual([])
    expect(await again.ok(again.get('/_data/my/path?k=key&time_series=1'))).toEqual([])
    expect(await again.ok(again.get('/_acc/accounts'))).toEqual([])
    const lilyAgain = await sub(again, lily.username)
    expect(await lilyAgain.ok(lilyAgain.get('/_data/my/path?k=key&time_series=1'))).toEqual([])
    for (const client of [elena, lily]) expect(await code(client.get('/_data/my/path'))).toBe('unauthorized')
  })

  it('counts all when no name is given, and takes no empty name for none', async () => {
    const elena = await primary()
    const subs = [await sub(elena), await sub(elena), await sub(elena)]
    expect(await code(elena.delete('/_acc/accounts?k='))).toBe('bad_key')
    expect(await code(elena.delete('/_acc/accounts?k=nobody'))).toBe('not_found')
    expect(await code(elena.delete('/_acc/accounts?k=..'))).toBe('not_found')
    expect(await elena.ok(elena.get('/_acc/accounts'))).toHaveLength(3)
    expect(await elena.ok(elena.delete('/_acc/accounts'))).toBe(3)
    expect(await elena.ok(elena.delete('/_acc/accounts'))).toBe(0)
    for (const one of subs) expect(await code(one.get('/_ns'))).toBe('unauthorized')
  })

  it('finds the one by its e-mail address, and takes no other key for none', async () => {
    const elena = await primary()
    const [lily, rose] = [await sub(elena), await sub(elena)]
    const byEmail = (email: string) => `/_acc/accounts?k2=${encodeURIComponent(email)}`
    const email = `${lily.username}@async.cl`
    for (const slot of ['k3', 'k4'])
      expect(await code(elena.delete(`/_acc/accounts?${slot}=${email}`))).toBe('bad_request')
    expect(await code(elena.delete(`${byEmail(email)}&k=${lily.username}`))).toBe('bad_request')
    expect(await code(elena.delete(byEmail('nobody@async.cl')))).toBe('not_found')
    expect(await code(elena.delete('/_acc/accounts?k2='))).toBe('bad_secondary_key')
    expect(await code(elena.delete(byEmail(email), { 'If-Match': '"v9"' }))).toBe('precondition_failed')
    expect(await elena.ok(elena.get('/_acc/accounts'))).toHaveLength(2)
    expect(await elena.ok(elena.delete(byEmail(email.toUpperCase()), { 'If-Match': '"v1"' }))).toBe(1)
    expect(await elena.ok(elena.get('/_acc/accounts'))).toEqual([rose.username])
    expect(await code(lily.get('/_ns'))).toBe('unauthorized')
    expect(await code(elena.delete(byEmail(email)))).toBe('not_found')
  })

  it('has one winner among many, also against creations', async () => {
    const elena = await primary()
    const lily = await sub(elena)
    const all = await Promise.all([
      ...Array.from({ length: 5 }, () => elena.delete('/_acc/accounts?k=' + lily.username)),
      ...Array.from({ length: 5 }, () =>
        elena.put('/_acc/accounts', { k: lily.username, v: { email: `${lily.username}@async.cl` } }),
      ),
    ])
    for (const { body } of all)
      expect(body.s === 'ok' ? 'ok' : body.v).toMatch(/^(ok|not_found|username_exists|email_exists)$/)
    const [present] = await elena.ok(elena.get<string[]>('/_acc/accounts'))
    if (present !== undefined) {
      const { secret } = await elena.ok(
        elena.post<Made>('/_acc/accounts', { k: lily.username, v: { secret: 'rotate' } }),
      )
      const latest = but(lily, secret)
      await latest.ok(latest.put('/_data/x', { k: 'k', v: 1 }))
    }
  })
})

describe('who may', () => {
  it('a sub-account has no accounts, and nobody sees those of another', async () => {
    const elena = await primary()
    const lily = await sub(elena)
    const otto = await primary()
    for (const client of [lily, but(lily, '!' + elena.password)])
      for (const method of ['GET', 'PUT', 'POST', 'DELETE'])
        expect(await code(client.call(method, '/_acc/accounts'))).toBe('forbidden')
    expect(await code(otto.get('/_acc/accounts?k=' + lily.username))).toBe('not_found')
    expect(await code(otto.get(`/_acc/accounts?k2=${lily.username}@async.cl`))).toBe('not_found')
    expect(await code(otto.delete('/_acc/accounts?k=' + lily.username))).toBe('not_found')
    expect(await code(elena.get('/_acc/accounts?k=' + elena.username))).toBe('not_found')
    expect(await lily.ok(lily.get('/_ns'))).toEqual([])
  })

  it.each(['/_acc', '/_acc/accounts/lily', '/_acc/users', '/_acc/users/admins/boss', '/_acc/nothing'])(
    'nothing is at %s',
    async (target) => {
      for (const method of ['GET', 'PUT', 'POST', 'DELETE']) {
        const { status, body } = await sys.call(method, target)
        expect([status, body]).toEqual([404, expect.objectContaining({ v: 'not_found', s: 'error' })])
      }
    },
  )
})

describe('administrators', () => {
  it('are created, read, listed, changed, and log in, with every right of the account', async () => {
    const elena = await primary()
    const made = await elena.post('/_acc/users/admins', { k: 'key', v: { password: 'pass#word:!' } })
    expect(made.status).toBe(201)
    expect(members(made.body.v)).toEqual([
      'email',
      'first_name',
      'last_name',
      'role',
      'created',
      'active',
      '_ver_',
    ])
    expect(made.body.v).toMatchObject({ role: 'admin', email: null, active: true })
    expect(await elena.ok(elena.get('/_acc/users/admins?k=key'))).toEqual(made.body.v)
    expect(await elena.ok(elena.get('/_acc/users/admins'))).toEqual(['key'])

    const admin = but(elena, 'key#pass#word:!')
    await admin.ok(admin.put('/_data/my/path', { k: 'x', v: { a: 1 } }))
    expect(await elena.ok(elena.get('/_data/my/path?k=x&time_series=1'))).toMatchObject([
      [expect.any(Number), 'key', { a: 1 }],
    ])
    await sub(admin)
    const body = {
      k: 'anna@async.cl',
      v: { password: 'woot', email: 'anna@async.cl', first_name: 'Anna', role: 'support' },
    }
    expect(await admin.ok(admin.put('/_acc/users/admins', body))).toMatchObject({
      role: 'support',
      first_name: 'Anna',
    })

    const merged = await elena.put('/_acc/users/admins', {
      k: 'key',
      v: { last_name: 'Key', password: null },
    })
    expect(merged.status).toBe(200)
    expect(merged.body.v).toMatchObject({ last_name: 'Key', role: 'admin' })
    expect(await admin.ok(admin.get('/_ns'))).toEqual([])
    await elena.ok(elena.post('/_acc/users/admins', { k: 'key', v: { password: 'changed' } }))
    expect(await code(admin.get('/_ns'))).toBe('unauthorized')
    const changed = but(elena, 'key#changed')
    expect(await changed.ok(changed.get('/_ns'))).toEqual([])
    await elena.ok(elena.post('/_acc/users/admins', { k: 'key', v: { active: false } }))
    expect(await code(changed.get('/_ns'))).toBe('unauthorized')

    const series = await elena.ok(elena.get<Row[]>('/_acc/users/admins?k=key&time_series=1'))
    expect(series).toHaveLength(4)
    expect(series[0]![2]).toMatchObject({ active: false })
    expect(await elena.ok(elena.delete('/_acc/users/admins?k=key'))).toBe(1)
    expect(await code(elena.delete('/_acc/users/admins?k=key'))).toBe('not_found')
    expect(await code(elena.get('/_acc/users/admins?k=key'))).toBe('not_found')
    for (const slot of ['k2', 'k3', 'k4'])
      expect(await code(elena.delete(`/_acc/users/admins?${slot}=key`))).toBe('bad_request')
    expect(await elena.ok(elena.delete('/_acc/users/admins'))).toBe(1)
    expect(await elena.ok(elena.get('/_acc/users/admins'))).toEqual([])
  })

  it('belong to one bucket: of the system, of an account, of a sub-account', async () => {
    const elena = await primary()
    const lily = await sub(elena)
    await lily.ok(lily.put('/_acc/users/admins', { k: 'boss', v: { password: 'lilys boss' } }))
    await elena.ok(elena.put('/_acc/users/admins', { k: 'boss', v: { password: 'elenas boss' } }))
    await sys.ok(sys.put('/_acc/users/admins', { k: 'boss', v: { password: 'the operator' } }))
    const works = async (client: Client): Promise<boolean> => (await client.get('/_ns')).body.s === 'ok'
    expect(await works(but(lily, 'boss#lilys boss'))).toBe(true)
    expect(await works(but(lily, '!boss#elenas boss'))).toBe(true)
    expect(await works(but(elena, 'boss#elenas boss'))).toBe(true)
    expect(await works(as('$sys', 'boss#the operator'))).toBe(true)
    expect(await works(but(lily, 'boss#elenas boss'))).toBe(false)
    expect(await works(but(elena, 'boss#lilys boss'))).toBe(false)
    expect(await works(but(elena, 'boss#the operator'))).toBe(false)
    expect(await works(as('$sys', 'boss#elenas boss'))).toBe(false)
    const operator = as('$sys', 'boss#the operator')
    expect(await operator.ok(operator.get('/_acc/accounts?k=' + elena.username))).toMatchObject({
      active: true,
    })
    await sys.ok(sys.delete('/_acc/users/admins?k=boss'))
    expect(await works(operator)).toBe(false)
  })

  it.each<[string, unknown]>([
    ['require_password', undefined],
    ['require_password', { k: 'boss' }],
    ['require_password', { k: 'boss', v: 'woot' }],
    ['require_password', { k: 'boss', v: {} }],
    ['require_password', { k: 'boss', v: { password: null } }],
    ['bad_password_format', { k: 'boss', v: { password: 'abc' } }],
    ['bad_password_format', { k: 'boss', v: { password: 12345 } }],
    ['bad_password_format', { k: 'boss', v: { password: '     ' } }],
    ['bad_password_format', { k: 'boss', v: { password: 'tab\tbed' } }],
    ['key_missing', { v: { password: 'woot' } }],
    ['bad_username', { k: 7, v: { password: 'woot' } }],
    ['bad_username', { k: 'a#b', v: { password: 'woot' } }],
    ['bad_username', { k: '!boss', v: { password: 'woot' } }],
    ['bad_username', { k: '', v: { password: 'woot' } }],
    ['username_is_immutable', { k: 'boss', v: { password: 'woot', username: 'chef' } }],
    ['bad_email', { k: 'boss', v: { password: 'woot', email: 'nothing' } }],
    ['bad_request', { k: 'boss', v: { password: 'woot', active: 1 } }],
    ['bad_request', { k: 'boss', v: { password: 'woot', role: 1 } }],
  ])('%s for %j, and nothing is made', async (expected, body) => {
    for (const method of ['PUT', 'POST'])
      expect(await code(sys.call(method, '/_acc/users/admins', body === undefined ? {} : { body }))).toBe(
        expected,
      )
    expect(await sys.ok(sys.get('/_acc/users/admins'))).toEqual([])
  })
})
