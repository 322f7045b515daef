import { decodeJwt, decodeProtectedHeader } from 'jose'
import { Path } from '../../core'
import type { TokenKeeper } from '../../auth'
import { startPlatform, type Platform } from '../platform'
import type { Client } from '../client'

let platform: Platform
let tokens: TokenKeeper
let elena: Client
let secret: string

const ROOM = Path.parse('/my/path')

async function account(name: string): Promise<{ client: Client; secret: string }> {
  const made = await platform.sys.ok(
    platform.sys.put<{ secret: string }>('/_acc/accounts', { k: name, v: { email: `${name}@async.cl` } }),
  )
  return { client: platform.as(name, made.secret), secret: made.secret }
}

beforeAll(async () => {
  platform = await startPlatform()
  tokens = platform.context.tokens
  const made = await account('elena')
  elena = made.client
  secret = made.secret
  await elena.ok(elena.put('/_ns/my/path'))
  await elena.ok(elena.put('/_ns/my/path/below'))
})
afterAll(() => platform.close())

const issue = (target: string, client = elena): Promise<string> => client.ok(client.put<string>(target))
const refusal = (text: string, at?: Path): Promise<unknown> =>
  tokens.verify('signal', text, at).then(
    () => 'good',
    (error: { code: string }) => error.code,
  )

describe('PUT', () => {
  test('answers a token that stands in a URL as it is, and says for what it is', async () => {
    const before = Date.now()
    const text = await issue('/_token/my/path?k=chatter_key&expire=20')
    expect(text).toMatch(/^[A-Za-z0-9._~-]+$/)
    const { issuedAt, expiresAt, ...holder } = await tokens.verify('signal', text)
    expect(holder).toEqual({
      account: 'elena',
      bucket: '$elena',
      path: '/my/path',
      user: 'chatter_key',
      login: 'elena',
    })
    expect(issuedAt).toBeGreaterThanOrEqual(before)
    expect(issuedAt).toBeLessThanOrEqual(Date.now())
    expect(expiresAt! - issuedAt).toBe(20_000)
  })

  test('without a path makes a universal one, without `k` one for a random user, for 60 s', async () => {
    const [one, other] = await Promise.all([issue('/_token'), issue('/_token/')])
    const first = await tokens.verify('signal', one)
    const second = await tokens.verify('signal', other)
    expect(first.path).toBeUndefined()
    expect(first.user).not.toBe('')
    expect(first.user).not.toBe(second.user)
    expect(first.expiresAt! - first.issuedAt).toBe(60_000)
    expect((await tokens.verify('signal', one, ROOM)).user).toBe(first.user)
    expect((await tokens.verify('signal', await issue('/_token?k='))).user).not.toBe('')
  })

  test.each([
    ['null', { body: 'null', headers: { 'Content-Type': 'application/json' } }],
    ['nothing, said to be JSON', { headers: { 'Content-Type': 'application/json' } }],
    ['{}', { body: '{}', headers: { 'Content-Type': 'application/json' } }],
    ['nothing at all', {}],
    ['a form', { body: 'a=1', headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }],
  ])('takes %s for a body', async (_what, options) => {
    const text = await elena.ok(elena.call<string>('PUT', '/_token/my/path?k=rt', options))
    expect((await tokens.verify('signal', text)).user).toBe('rt')
  })

  test('wants the path to be a namespace', async () => {
    expect(await elena.error(elena.put('/_token/not/there'))).toBe('404 no_namespace')
    expect(await elena.error(elena.put('/_token/my'))).toBe('404 no_namespace')
    const { client } = await account('otto')
    expect(await client.error(client.put('/_token/my/path'))).toBe('404 no_namespace')
  })

  test.each(['-1', '1.5', 'soon', '', '99999999999'])('refuses expire=%s', async (expire) => {
    expect(await elena.error(elena.put(`/_token/my/path?expire=${expire}`))).toBe('400 bad_request')
  })

  test.each(['a/b', '__sys__', 'a%00b'])('refuses the user %s', async (k) => {
    expect(await elena.error(elena.put(`/_token/my/path?k=${k}`))).toBe('400 bad_key')
  })

  test('never shows a secret', async () => {
    const text = await issue('/_token/my/path?k=rt')
    const inside = text + JSON.stringify(decodeJwt(text)) + JSON.stringify(decodeProtectedHeader(text))
    expect(inside).not.toContain(secret)
    const keys = await platform.sys.ok(platform.sys.get<unknown>('/_token'))
    expect(Object.keys((keys as object[])[0]!).sort()).toEqual(['created', 'id'])
  })
})

describe('a token', () => {
  test('is good any number of times until it expires, with expire=0 for ever', async () => {
    const brief = await issue('/_token/my/path?expire=1')
    const lasting = await issue('/_token/my/path?expire=0&k=lasting')
    await tokens.verify('signal', brief)
    await tokens.verify('signal', brief)
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    expect(await refusal(brief)).toBe('unauthorized')
    expect((await tokens.verify('signal', lasting)).expiresAt).toBeUndefined()
  })

  test('is for its path only', async () => {
    const text = await issue('/_token/my/path')
    expect(await refusal(text, ROOM)).toBe('good')
    expect(await refusal(text, Path.parse('/my/path/below'))).toBe('unauthorized')
    expect(await refusal(text, Path.root)).toBe('unauthorized')
  })

  test('is for its purpose only', async () => {
    const principal = {
      account: 'elena',
      bucket: (await tokens.verify('signal', await issue('/_token'))).bucket,
      login: 'elena',
    }
    const text = await tokens.issue('service', { principal, user: 'turn', scope: { layers: ['*turn'] } }, 60)
    expect((await tokens.verify('service', text)).scope).toEqual({ layers: ['*turn'] })
    expect(await refusal(text)).toBe('unauthorized')
    await expect(tokens.verify('host', text)).rejects.toMatchObject({ code: 'unauthorized' })
  })

  test('that was made, altered or signed in another way is none', async () => {
    const text = await issue('/_token/my/path?k=rt')
    const [head, body, mac] = text.split('.') as [string, string, string]
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const claims = decodeJwt(text)
    const { kid } = decodeProtectedHeader(text)
    const forged = [
      '',
      'x',
      'a.b.c',
      `${head}.${body}.`,
      `${head}.${part({ ...claims, usr: 'admin' })}.${mac}`,
      `${part({ alg: 'none' })}.${body}.`,
      `${part({ alg: 'none', kid })}.${body}.${mac}`,
      `${part({ alg: 'HS512', kid })}.${body}.${mac}`,
      `${part({ alg: 'HS256' })}.${body}.${mac}`,
      `${part({ alg: 'HS256', kid: '../secret' })}.${body}.${mac}`,
      `${part({ alg: 'HS256', kid: kid!.replace(/.$/, (c) => (c === '0' ? '1' : '0')) })}.${body}.${mac}`,
      `${head}.${body}.${mac.startsWith('A') ? 'B' : 'A'}${mac.slice(1)}`,
      text + '.x',
      'x'.repeat(100_000),
    ]
    for (const each of forged) expect([each, await refusal(each)]).toEqual([each, 'unauthorized'])
    expect(await refusal(text)).toBe('good')
  })

  test('of a sub-account acts in its bucket and ends with it and with its primary', async () => {
    const { client: rosa } = await account('rosa')
    const made = await rosa.ok(
      rosa.put<{ secret: string }>('/_acc/accounts', { k: 'lily', v: { email: 'lily@async.cl' } }),
    )
    const lily = platform.as('rosa#lily', made.secret)
    const text = await issue('/_token?k=kid', lily)
    const own = await issue('/_token?k=mum', rosa)
    expect(await tokens.verify('signal', text)).toMatchObject({
      account: 'rosa',
      sub: 'lily',
      bucket: '$rosa)lily',
      login: 'lily',
    })
    const set = (client: Client, k: string, active: boolean) =>
      client.ok(client.post('/_acc/accounts', { k, v: { active } }))
    await set(rosa, 'lily', false)
    expect(await refusal(text)).toBe('unauthorized')
    await set(rosa, 'lily', true)
    expect(await refusal(text)).toBe('good')
    await set(platform.sys, 'rosa', false)
    expect([await refusal(text), await refusal(own)]).toEqual(['unauthorized', 'unauthorized'])
    await set(platform.sys, 'rosa', true)

    await rosa.ok(rosa.delete('/_acc/accounts?k=lily'))
    expect(await refusal(text)).toBe('unauthorized')
    await rosa.ok(rosa.put('/_acc/accounts', { k: 'lily', v: { email: 'lily@async.cl' } }))
    expect(await refusal(text)).toBe('unauthorized')
  })
})

describe('revocation', () => {
  test('of a user ends his tokens for the path that were issued before, and no others', async () => {
    const chatter = await issue('/_token/my/path?k=chatter&expire=0')
    const twin = await issue('/_token/my/path?k=chatter')
    const other = await issue('/_token/my/path?k=other')
    const below = await issue('/_token/my/path/below?k=chatter')
    const universal = await issue('/_token?k=chatter')
    expect(await elena.ok(elena.delete('/_token/my/path?k=chatter'))).toBe(1)
    expect([await refusal(chatter), await refusal(twin)]).toEqual(['unauthorized', 'unauthorized'])
    expect([await refusal(other), await refusal(below)]).toEqual(['good', 'good'])
    // A universal token would only come in by another door.
    expect(await refusal(universal, ROOM)).toBe('unauthorized')
    expect(await refusal(universal, Path.parse('/elsewhere'))).toBe('good')
    await new Promise((resolve) => setTimeout(resolve, 2))
    expect(await refusal(await issue('/_token/my/path?k=chatter'))).toBe('good')
    expect(await refusal(chatter)).toBe('unauthorized')
  })

  test('of a path ends those of all users', async () => {
    const one = await issue('/_token/my/path/below?k=one')
    const two = await issue('/_token/my/path/below?k=two&expire=0')
    const above = await issue('/_token/my/path?k=one')
    await elena.ok(elena.delete('/_token/my/path/below'))
    expect([await refusal(one), await refusal(two), await refusal(above)]).toEqual([
      'unauthorized',
      'unauthorized',
      'good',
    ])
  })

  test('of everything ends every token of the account, and of no other', async () => {
    const { client: anna } = await account('anna')
    const mine = await issue('/_token/my/path?k=one&expire=0')
    const hers = await issue('/_token?k=one', anna)
    await elena.ok(elena.delete('/_token'))
    expect([await refusal(mine), await refusal(hers)]).toEqual(['unauthorized', 'good'])
    expect(await refusal(await issue('/_token/my/path?k=one'))).toBe('good')
  })

  test('outlives the tokens that it ends, and leaves nothing behind otherwise', async () => {
    const { client: nina } = await account('nina')
    const bucket = platform.engine.bucket(
      (await tokens.verify('signal', await issue('/_token', nina))).bucket,
    )
    await nina.ok(nina.delete('/_token?k=brief'))
    await issue('/_token?k=lasting&expire=0', nina)
    await nina.ok(nina.delete('/_token?k=lasting'))
    await nina.ok(nina.delete('/_token?k=week'))
    await issue('/_token?k=week&expire=604800', nina)
    const layer = tokens.layers[2]!.name as never
    const lapse = async (key: string) =>
      (await bucket.get({ layer, path: Path.root, key: key as never }))!.exp
    expect(await lapse('lasting')).toBeUndefined()
    expect(Math.round((await lapse('brief'))! - Date.now())).toBeLessThanOrEqual(24 * 3600_000)
    expect((await lapse('week'))! - Date.now()).toBeGreaterThan(6 * 24 * 3600_000)
    expect(await nina.ok(nina.get<string[]>('/_ds'))).toEqual([])
  })
})

describe('the keys', () => {
  test('can be changed without ending a token, or to end all', async () => {
    type Shown = { id: string; created: number }
    const { sys } = platform
    const before = await issue('/_token/my/path?k=rt&expire=0')
    const made = await sys.ok(sys.post<Shown>('/_token'))
    const after = await issue('/_token/my/path?k=rt')
    expect(decodeProtectedHeader(after).kid).toBe(made.id)
    expect(decodeProtectedHeader(before).kid).not.toBe(made.id)
    expect([await refusal(before), await refusal(after)]).toEqual(['good', 'good'])
    expect((await sys.ok(sys.get<Shown[]>('/_token'))).map(({ id }) => id)).toEqual([
      made.id,
      decodeProtectedHeader(before).kid,
    ])

    const last = await sys.ok(sys.post<Shown>('/_token?retire=1'))
    expect([await refusal(before), await refusal(after)]).toEqual(['unauthorized', 'unauthorized'])
    expect(await sys.ok(sys.get<Shown[]>('/_token'))).toEqual([last])
    expect(await refusal(await issue('/_token/my/path'))).toBe('good')
  })
})
