import { setTimeout as wait } from 'node:timers/promises'
import { Receiver } from './receiver'
import { openNesoi } from './world'
import type { NesoiWorld } from './world'

/** Changes of applications and hosts, as somebody with a web hook hears of them. */

let at: NesoiWorld
let receiver: Receiver

beforeAll(async () => {
  receiver = await new Receiver().start()
  at = await openNesoi()
})
afterAll(async () => {
  await at.close()
  await receiver.close()
})

const hook = async (on: string, name: string, path: string): Promise<void> => {
  const { status } = await at.nesoi('POST', `${on}/web-hooks`, { name, endpoint: receiver.url(path) })
  expect(status).toBe(201)
}
const put = async (path: string): Promise<void> => {
  expect((await at.nesoi('PUT', path, { config: 1, endpoints: 1 })).status).toBe(200)
}

test('every put and delete is posted, in order, with name, uri and what, and no Content-Type', async () => {
  await hook('/app/dm', 'h1', '/order')
  await put('/app/dm')
  await put('/app/dm')
  expect((await at.nesoi('DELETE', '/app/dm')).status).toBe(200)
  const got = await receiver.until('/order', 3)
  expect(got.map(({ method, body }) => [method, body])).toEqual([
    ['POST', { name: 'h1', uri: '/app/dm', what: 'updated' }],
    ['POST', { name: 'h1', uri: '/app/dm', what: 'updated' }],
    ['POST', { name: 'h1', uri: '/app/dm', what: 'deleted' }],
  ])
  for (const { headers } of got) expect(headers).not.toHaveProperty('content-type')
})

test('a hook on test hears of test2 too, and of nothing else; hooks fire no hooks', async () => {
  await hook('/app/test', 'app', '/prefix-app')
  await hook('/srv/test', 'srv', '/prefix-srv')
  await put('/app/test2')
  await put('/app/atest')
  await put('/app/Test')
  await put('/srv/test/h1')
  await put('/srv/test2/h1')
  await put('/srv/other/test')
  await hook('/app/test', 'another', '/another')
  await at.nesoi('DELETE', '/app/test/web-hooks/another')
  await put('/app/test')
  const apps = await receiver.until('/prefix-app', 2)
  expect(apps.map(({ body }) => body.uri).sort()).toEqual(['/app/test', '/app/test2'])
  const hosts = await receiver.until('/prefix-srv', 2)
  expect(hosts.map(({ body }) => body.uri).sort()).toEqual(['/srv/test', '/srv/test2'])
  expect(receiver.got.filter(({ path }) => path === '/another')).toEqual([])
})

test('what fails is tried again, and last-hit moves to the 2xx', async () => {
  await hook('/srv/retry', 'h', '/retry')
  const registered = (await at.nesoi('GET', '/srv/retry/web-hooks/h')).json['last-hit'] as number
  await wait(50)
  receiver.statuses.push(500)
  await put('/srv/retry/h1')
  const got = await receiver.until('/retry', 2)
  expect(got.map(({ body }) => body)).toEqual(
    [1, 2].map(() => ({ name: 'h', uri: '/srv/retry', what: 'updated' })),
  )
  let hit = registered
  for (let i = 0; i < 100 && hit === registered; i++) {
    await wait(50)
    hit = (await at.nesoi('GET', '/srv/retry/web-hooks')).json.h['last-hit'] as number
  }
  expect(hit).toBeGreaterThan(registered)
})

test('what is written by the platform’s own routes is heard of too, and a hook that is gone hears nothing', async () => {
  await hook('/app/native', 'n', '/native')
  const body = { k: 'native', v: { config: 1 } }
  expect((await at.native('PUT', '/_app', { body })).status).toBe(201)
  expect(await receiver.until('/native', 1)).toHaveLength(1)
  await at.nesoi('DELETE', '/app/native/web-hooks/n')
  await put('/app/native')
  expect(await receiver.until('/native', 1)).toHaveLength(1)
})

test('a host that lapses is told of, once', async () => {
  await hook('/srv/lapsing', 'l', '/lapsing')
  await at.nesoi('PUT', '/srv/lapsing/h1', { endpoints: 1, lapses_after: 0.5 })
  const got = await receiver.until('/lapsing', 2, 1_500)
  expect(got.map(({ body }) => body)).toEqual(
    [1, 2].map(() => ({ name: 'l', uri: '/srv/lapsing', what: 'updated' })),
  )
  expect((await at.nesoi('GET', '/srv/lapsing/h1')).json.dead).toBe(true)
})
