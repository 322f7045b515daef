import type { Client, Row } from '../../client'
import { startPlatform, type Platform } from '../../platform'

let platform: Platform
let api: Client
beforeAll(async () => {
  platform = await startPlatform()
  api = platform.sys
})
afterAll(() => platform.close())

const AT = '/_sess/_schemas'
let count = 0
/** A schema's name that no other test uses. */
const fresh = () => `team.feature${++count}.v1`
const declare = (k: string, v: unknown) => api.put(AT, { k, v })

/** Code and `d` of a refusal. */
async function refusal(answer: ReturnType<Client['put']>): Promise<unknown> {
  const { status, body } = await answer
  return [status, body.v, (body as unknown as { d?: unknown }).d]
}

/** The example of seed 001, as it stands there. */
const EXAMPLE = `
type: object
allowUnknown: true
properties:
  name:
    type: string
    min: 1
    max: 100
  age:
    type: integer
    min: 0
    max: 120
  height:
    type: number
    min: 0.0
    max: 200.0
  friends:
    type: array
    items:
      type: object
      allowUnknown: false
      properties:
        name:
          type: string
        age:
          type: integer
  cool:
    type: boolean
    optional: true
  language:
    type: string
    enum:
    - en-US
    - en-GB
    - de-DE
  pet:
    type: object
    allowUnknown: false
    properties:
      name:
        type: string
      species:
        type: string
        enum:
        - cat
        - dog
        - fish
`
const GOOD = {
  name: 'Ana',
  age: 30,
  height: 170.5,
  friends: [{ name: 'Bo', age: 3 }],
  language: 'en-GB',
  pet: { name: 'Rex', species: 'dog' },
}

describe('the example of the seed', () => {
  const k = 'teamName.objectType.v1'
  const at = '/_sess/example'
  beforeAll(() => api.ok(declare(k, EXAMPLE)))

  test('takes what follows it', async () => {
    for (const v of [
      GOOD,
      { ...GOOD, cool: true, more: [1] },
      { ...GOOD, friends: [] },
      { ...GOOD, age: 120 },
    ])
      await api.ok(api.put(at, { k, v }))
  })

  test.each([
    [{ age: 121 }, '/age', 'max', 120],
    [{ age: -1 }, '/age', 'min', 0],
    [{ age: 1.5 }, '/age', 'type', 'integer'],
    [{ age: undefined }, '/age', 'required', 'present'],
    [{ height: 200.5 }, '/height', 'max', 200],
    [{ name: '' }, '/name', 'min', 1],
    [{ name: 'x'.repeat(101) }, '/name', 'max', 100],
    [{ name: 7 }, '/name', 'type', 'string'],
    [{ cool: 'yes' }, '/cool', 'type', 'boolean'],
    [{ language: 'fr-FR' }, '/language', 'enum', 'en-US, en-GB, de-DE'],
    [{ friends: [{ name: 'Bo', age: 3 }, { name: 'Cy' }] }, '/friends/1/age', 'required', 'present'],
    [{ friends: [{ name: 'Bo', age: 3, x: 1 }] }, '/friends/0/x', 'allowUnknown', 'absent'],
    [{ friends: {} }, '/friends', 'type', 'array'],
    [{ pet: { name: 'Rex', species: 'cow' } }, '/pet/species', 'enum', 'cat, dog, fish'],
    [{ pet: null }, '/pet', 'type', 'object'],
  ])(
    'refuses %j, and says where, by which rule and what is expected',
    async (change, path, rule, expected) => {
      await api.ok(api.put(at, { k, v: GOOD }))
      const answer = api.put(at, { k, v: { ...GOOD, ...change } })
      expect(await refusal(answer)).toEqual([400, 'invalid', { path, rule, expected }])
      expect(await api.ok(api.get(`${at}?k=${k}`))).toMatchObject(GOOD)
    },
  )

  test('holds for what a patch comes to', async () => {
    await api.ok(api.put(at, { k, v: GOOD }))
    const patch = (v: unknown) => api.call('PATCH', at, { body: { k, v } })
    await api.ok(patch({ pet: { species: 'fish' } }))
    expect(await refusal(patch({ pet: { species: null } }))).toEqual([
      400,
      'invalid',
      { path: '/pet/species', rule: 'required', expected: 'present' },
    ])
  })

  test('says nothing about other namespaces', async () => {
    await api.ok(api.put(at, { k: 'teamName.objectType.v2', v: { anything: [] } }))
  })
})

describe('the syntax', () => {
  test('bounds lists, and refuses unknown members where it is not told otherwise', async () => {
    const k = fresh()
    const list = { type: 'array', min: 1, max: 2, items: { type: 'number', enum: [1, 2.5] } }
    await api.ok(declare(k, { type: 'object', properties: { list } }))
    const put = (v: unknown) => refusal(api.put('/_sess/syntax', { k, v }))
    expect(await put({ list: [] })).toEqual([400, 'invalid', { path: '/list', rule: 'min', expected: 1 }])
    expect(await put({ list: [1, 1, 1] })).toEqual([
      400,
      'invalid',
      { path: '/list', rule: 'max', expected: 2 },
    ])
    expect(await put({ list: [2] })).toEqual([
      400,
      'invalid',
      { path: '/list/0', rule: 'enum', expected: '1, 2.5' },
    ])
    expect(await put({ list: [1], x: 1 })).toEqual([
      400,
      'invalid',
      { path: '/x', rule: 'allowUnknown', expected: 'absent' },
    ])
    // What the mount writes into documents comes back with them.
    expect(await put({ list: [1], _session: 's', _namespace: k, _modified: 'now' })).toMatchObject([201, {}])
  })

  test('takes names that objects inherit for names', async () => {
    const k = fresh()
    const properties = { constructor: { type: 'string' }, toString: { type: 'string', optional: true } }
    await api.ok(declare(k, { type: 'object', properties }))
    expect(await refusal(api.put('/_sess/syntax', { k, v: {} }))).toEqual([
      400,
      'invalid',
      { path: '/constructor', rule: 'required', expected: 'present' },
    ])
    await api.ok(api.put('/_sess/syntax', { k, v: { constructor: 'x' } }))
  })

  const deep = (levels: number): unknown =>
    levels === 0 ? { type: 'string' } : { type: 'object', properties: { a: deep(levels - 1) } }
  const many = (places: number) => ({
    type: 'object',
    properties: Object.fromEntries(Array.from({ length: places }, (_, i) => [`p${i}`, { type: 'string' }])),
  })
  const bomb = ['a: &a [x, x]', 'b: &b [*a, *a]', 'c: &c [*b, *b]', 'type: object'].join('\n')

  test.each([
    ['nothing', null],
    ['a list', []],
    ['a number', 7],
    ['no type', { properties: {} }],
    ['an unknown type', { type: 'no such type!' }],
    ['an unknown word', { type: 'string', pattern: '^(a+)+$' }],
    ['a word of another type', { type: 'boolean', min: 1 }],
    ['a reference of its own to JSON Schema', { type: 'object', $ref: '#' }],
    ['optional that is no truth value', { type: 'string', optional: 'yes' }],
    ['min that is no number', { type: 'string', min: '1' }],
    ['min that is no count', { type: 'string', min: 1.5 }],
    ['min above max', { type: 'number', min: 2, max: 1 }],
    ['an infinite bound', 'type: number\nmax: .inf'],
    ['an empty enum', { type: 'string', enum: [] }],
    ['an enum of another type', { type: 'string', enum: ['a', 1] }],
    ['a huge enum', { type: 'integer', enum: Array.from({ length: 1_001 }, (_, i) => i) }],
    ['properties that are none', { type: 'object', properties: ['a'] }],
    ['a property that no document can have', 'type: object\nproperties:\n  __proto__: {type: string}'],
    ['deep nesting', deep(17)],
    ['very deep nesting', '['.repeat(30_000)],
    ['too many places', many(501)],
    ['too long a text', '#'.repeat(33 * 1024)],
    ['too long an object', { type: 'string', enum: ['x'.repeat(33 * 1024)] }],
    ['an alias bomb', bomb],
    ['an anchor', 'type: &t object'],
    ['a tag', 'type: !!str object'],
    ['a tag of JavaScript', 'type: !!js/function "function () {}"'],
    ['a name twice', 'type: object\ntype: array'],
    ['a name twice, in two spellings', 'type: object\nproperties: {1: {type: string}, "1": {type: integer}}'],
    ['a name that is nothing', 'type: object\nproperties:\n  null: {type: string}'],
    ['a name that is another than it looks', 'type: object\nproperties: {1.0: {type: string}}'],
    ['a name that is a list', 'type: object\n? [a]\n: b'],
    ['two documents', 'type: object\n---\ntype: array'],
    ['no YAML', 'type: [object'],
  ])('refuses %s', async (_what, schema) => {
    const k = fresh()
    const [status, code, d] = (await refusal(declare(k, schema))) as [number, string, { reason?: string }]
    expect([status, code]).toEqual([400, 'bad_schema'])
    expect(d.reason).toMatch(/^[^\n]+$/)
    expect(await api.error(api.get(`${AT}?k=${k}`))).toBe('404 not_found')
  })

  test('takes the most that it may have', async () => {
    await api.ok(declare(fresh(), deep(15)))
    await api.ok(declare(fresh(), many(499)))
    await api.ok(declare(fresh(), { type: 'integer', enum: Array.from({ length: 1_000 }, (_, i) => i) }))
  })

  test.each(['', 'string', 'a b', '.a', 'a..b', '../x', '__proto__', 'x'.repeat(65), 'a.'])(
    '%j is no name of a schema',
    async (k) => {
      expect(await refusal(declare(k, { type: 'object' }))).toMatchObject([
        400,
        'bad_schema',
        { path: 'name' },
      ])
    },
  )
})

describe('a reference', () => {
  test('stands for the schema of that name, as it is when a document is written', async () => {
    const [user, cart] = [fresh(), fresh()]
    await api.ok(declare(user, { type: 'object', properties: { name: { type: 'string' } } }))
    const properties = {
      owner: { type: user },
      guests: { type: 'array', items: { type: user }, optional: true },
    }
    await api.ok(declare(cart, { type: 'object', properties }))
    const put = (v: unknown) => api.put('/_sess/references', { k: cart, v })
    await api.ok(put({ owner: { name: 'Ana' }, guests: [{ name: 'Bo' }] }))
    expect(await refusal(put({ owner: { name: 'Ana' }, guests: [{ name: 1 }] }))).toEqual([
      400,
      'invalid',
      { path: '/guests/0/name', rule: 'type', expected: 'string' },
    ])
    await api.ok(declare(user, { type: 'object', properties: { id: { type: 'integer' } } }))
    expect(await api.error(put({ owner: { name: 'Ana' } }))).toBe('400 invalid')
    await api.ok(put({ owner: { id: 1 } }))
  })

  test('to nothing, to itself or in a circle is refused, with the way that it goes', async () => {
    const [a, b, c] = [fresh(), fresh(), fresh()]
    const to = (name: string) => ({ type: 'object', properties: { next: { type: name, optional: true } } })
    expect(await refusal(declare(a, to(b)))).toEqual([
      400,
      'bad_schema',
      { path: '', reason: `there is no schema ${b}, which ${a} refers to` },
    ])
    expect(await refusal(declare(a, to(a)))).toEqual([
      400,
      'bad_schema',
      { path: '', reason: `the references make a circle: ${a} → ${a}` },
    ])
    await api.ok(declare(c, { type: 'object' }))
    await api.ok(declare(b, to(c)))
    await api.ok(declare(a, to(b)))
    expect(await refusal(declare(c, to(a)))).toEqual([
      400,
      'bad_schema',
      { path: '', reason: `the references make a circle: ${c} → ${a} → ${b} → ${c}` },
    ])
    expect(await api.ok(api.get(`${AT}?k=${c}`))).toMatchObject({ type: 'object' })
  })

  test('keeps what it refers to from being removed', async () => {
    const [a, b] = [fresh(), fresh()]
    await api.ok(declare(b, { type: 'object' }))
    await api.ok(declare(a, { type: b }))
    expect(await refusal(api.delete(`${AT}?k=${b}`) as never)).toEqual([409, 'schema_in_use', { k: a }])
    await api.ok(api.delete(`${AT}?k=${a}`))
    await api.ok(api.delete(`${AT}?k=${b}`))
  })

  test('grows no schema beyond its bounds, be it twice as large at every step', async () => {
    const names = Array.from({ length: 30 }, fresh)
    await api.ok(declare(names[0]!, { type: 'object' }))
    for (let i = 1; i < names.length; i++) {
      const properties = { l: { type: names[i - 1] }, r: { type: names[i - 1] } }
      await api.ok(declare(names[i]!, { type: 'object', properties }))
    }
    expect(await api.error(api.put('/_sess/bounds', { k: names.at(-1), v: { l: {}, r: {} } }))).toBe(
      '400 invalid',
    )
    const wide = fresh()
    const properties = Object.fromEntries(
      Array.from({ length: 490 }, (_, i) => [`p${i}`, { type: 'string' }]),
    )
    await api.ok(declare(wide, { type: 'object', properties }))
    const [x, y] = [fresh(), fresh()]
    await api.ok(declare(x, { type: 'object', properties: { ...properties, w: { type: wide } } }))
    const reason = expect.stringContaining('more than 1000 places') as string
    expect(
      await refusal(declare(y, { type: 'object', properties: { ...properties, x: { type: x } } })),
    ).toEqual([400, 'bad_schema', { path: '', reason }])
    // Nor by a change of what it refers to.
    expect(
      await refusal(
        declare(wide, { type: 'object', properties: { ...properties, n: { type: names.at(-1) } } }),
      ),
    ).toMatchObject([400, 'bad_schema', { reason: expect.stringContaining(x) as string }])
  })
})

describe('schemas', () => {
  test('are listed, read as they were declared, and keep their history', async () => {
    const k = fresh()
    const text = 'type: object # first\n'
    const created = await declare(k, text)
    expect([created.status, created.body.v]).toEqual([201, text])
    const object = { type: 'object', allowUnknown: false }
    await api.ok(declare(k, object))
    expect(await api.ok(api.get(`${AT}?k=${k}`))).toEqual({ ...object, _ver_: expect.any(String) })
    expect(await api.ok(api.get<string[]>(AT))).toContain(k)
    expect(await api.ok(api.get<Record<string, unknown>>(`${AT}?as=values`))).toMatchObject({ [k]: object })
    const rows = await api.ok(api.get<Row[]>(`${AT}?k=${k}&time_series=1`))
    expect(rows.map((row) => row[2])).toEqual([object, text])
    expect((await api.get<string[]>(`${AT}?limit=1`)).body.next).toBeDefined()
    const tag = created.headers.get('etag')!
    expect(await api.error(api.put(AT, { k, v: text }, { 'If-Match': tag }))).toBe('412 precondition_failed')
    expect(await api.ok(api.delete(`${AT}?k=${k}`))).toBe(1)
    expect(await api.error(api.delete(`${AT}?k=${k}`))).toBe('404 not_found')
  })

  test('count from the next write on, and leave what is there as it is', async () => {
    const k = fresh()
    const at = '/_sess/hot'
    await api.ok(api.put(at, { k, v: { n: 'text' } }))
    await api.ok(declare(k, { type: 'object', properties: { n: { type: 'integer' } } }))
    expect(await api.ok(api.get(`${at}?k=${k}`))).toMatchObject({ n: 'text' })
    expect(await api.error(api.put(at, { k, v: { n: 'text' } }))).toBe('400 invalid')
    await api.ok(declare(k, { type: 'object', properties: { n: { type: 'string' } } }))
    await api.ok(api.put(at, { k, v: { n: 'text' } }))
    await api.ok(api.delete(`${AT}?k=${k}`))
    await api.ok(api.put(at, { k, v: { n: {} } }))
  })

  test('are of their account alone, and as many as it may have', async () => {
    const { secret } = (await api.ok(
      api.put('/_acc/accounts', { k: 'elena', v: { email: 'elena@async.cl' } }),
    )) as unknown as { secret: string }
    const elena = platform.as('elena', secret)
    const k = fresh()
    await api.ok(declare(k, { type: 'object', allowUnknown: false }))
    await elena.ok(elena.put('/_sess/x', { k, v: { free: true } }))
    for (let i = 0; i < 200; i++) await elena.ok(elena.put(AT, { k: `n${i}`, v: { type: 'object' } }))
    expect(await elena.error(elena.put(AT, { k: 'one-more', v: { type: 'object' } }))).toBe(
      '403 limit_reached',
    )
    await elena.ok(elena.put(AT, { k: 'n7', v: { type: 'object' } }))
  })
})
