import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express from 'express'
import passport from 'passport'
import { BasicStrategy } from 'passport-http'
import { StrictBasicStrategy, basicAuthentication, type Authentication, type Principal } from '../../auth'
import { parseBasicHeader } from '../../auth/basic-header'
import { BucketName, Kv4Error } from '../../core'

const principal: Principal = {
  account: 'elena',
  bucket: BucketName.of('elena'),
  login: 'elena',
  kind: 'account',
}
const addresses: (string | undefined)[] = []
const authentication: Authentication = {
  async authenticate({ authorization }, address) {
    addresses.push(address)
    const sent = parseBasicHeader(authorization ?? '')
    if (sent?.password === ':a:b') return principal
    if (sent?.user === 'busy') throw new Kv4Error('overloaded', { retryAfter: 1 })
    throw new Kv4Error('unauthorized')
  },
}

let server: Server
let url: string
beforeAll(async () => {
  const instance = new passport.Passport()
  instance.use(new StrictBasicStrategy(authentication) as passport.Strategy)
  const app = express()
  app.get(
    '/passport',
    instance.authenticate('basic', { session: false }) as express.RequestHandler,
    (request, response) => {
      response.json(request.user)
    },
  )
  app.get('/ours', basicAuthentication(authentication, () => '192.0.2.9') as never, (request, response) => {
    response.json(request.user)
  })
  app.use(((error, _request, response, _next) => {
    response.status(418).json({ code: (error as Kv4Error).code })
  }) as express.ErrorRequestHandler)
  server = createServer(app as never)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => new Promise((resolve) => server.close(resolve)))

const get = (path: string, text?: string, scheme = 'Basic'): Promise<Response> =>
  fetch(url + path, {
    headers: { connection: 'close', ...(text !== undefined && { authorization: `${scheme} ${btoa(text)}` }) },
  })

it('is passport-http’s strategy', () => {
  const strategy = new StrictBasicStrategy(authentication)
  expect(strategy).toBeInstanceOf(BasicStrategy)
  expect(strategy.name).toBe('basic')
})

it.each(['/passport', '/ours'])('lets in by our own reading of the header: %s', async (path) => {
  // passport-http would see an empty password, or nothing behind the second colon
  const answer = await get(path, 'elena::a:b')
  expect(answer.status).toBe(200)
  expect(await answer.json()).toEqual(principal)
})

it('challenges where passport answers itself, malformed headers just as wrong ones', async () => {
  for (const answer of [
    await get('/passport'),
    await get('/passport', 'elena:no'),
    await get('/passport', 'nocolon'),
    await get('/passport', 'elena::a:b', 'XBasicY'),
  ]) {
    expect(answer.status).toBe(401)
    expect(answer.headers.get('www-authenticate')).toBe('Basic realm="kv4", charset="UTF-8"')
  }
})

it('leaves every refusal to the app, as an error of the catalogue', async () => {
  for (const [path, text, code] of [
    ['/ours', 'elena:no', 'unauthorized'],
    ['/ours', 'nocolon', 'unauthorized'],
    ['/ours', 'busy:x', 'overloaded'],
    ['/passport', 'busy:x', 'overloaded'],
  ] as const) {
    const answer = await get(path, text)
    expect(answer.status).toBe(418)
    expect(await answer.json()).toEqual({ code })
  }
})

it('counts the address that the server names', async () => {
  addresses.length = 0
  await get('/ours', 'elena:no')
  await get('/passport', 'elena:no')
  expect(addresses).toEqual(['192.0.2.9', '127.0.0.1'])
})
