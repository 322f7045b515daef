import { Writable } from 'node:stream'
import { Kv4Error } from '../../core'
import { createLog, loggedError, scrub } from '../../server/log'
import { CATALOG } from '../../services/catalog'
import { probe } from './probe'
import { SYS_SECRET, basic, openWorld } from './world'

function logOf(use: (log: ReturnType<typeof createLog>) => void): string {
  let text = ''
  const sink = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk)
      done()
    },
  })
  use(createLog({ logLevel: 'trace', node: 'n' }, sink))
  return text
}

describe('the log', () => {
  test('takes secrets out of members, texts, errors and their causes', () => {
    const nanoError = Object.assign(new Error('ESOCKET http://admin:canary@db:5984/x'), {
      request: { headers: { authorization: 'canary' } },
      headers: { cookie: 'canary' },
    })
    const error = new Kv4Error('internal', {
      detail: 'sent Authorization: Basic Y2FuYXJ5OmNhbmFyeQ==',
      cause: nanoError,
    })
    const text = logOf((log) => {
      log.info({ authorization: 'canary', req: { headers: { authorization: 'canary' } } }, 'one')
      log.info({ body: { v: { secret: 'canary', password: 'canary' } } }, 'two')
      log.warn('Basic Y2FuYXJ5OmNhbmFyeQ== and https://user:canary@host')
      log.error({ err: error }, 'three')
      log.error(error)
    })
    expect(text).toContain('three')
    expect(text).toContain('ESOCKET')
    expect(text).not.toContain('canary')
    expect(text).not.toContain('Y2FuYXJ5')
  })

  test('leaves the rest of a text alone', () => {
    expect(scrub('basic facts about http://host/a@b')).toBe('basic [redacted] about http://host/a@b')
    expect(scrub('no secret: port 4006')).toBe('no secret: port 4006')
  })

  test('an error that contains itself ends', () => {
    const error = new Error('round')
    error.cause = error
    expect(JSON.stringify(loggedError(error)).match(/"message":"round"/g)).toHaveLength(5)
  })

  test('holds no secret after all that can go wrong was tried, at the noisiest level', async () => {
    const world = await openWorld({}, { services: [...CATALOG, probe] })
    const secrets = [
      'canary-account-secret-012345',
      'canary-password',
      'canary-guess-0123456789',
      'canary-json',
    ]
    const [account, password, guess, json] = secrets as [string, string, string, string]
    const sys = '$sys:' + SYS_SECRET
    const elena = { email: 'elena@example.com', secret: account, password }
    await world.ask('PUT', '/_acc/accounts', { as: sys, body: { k: 'elena', v: elena } })
    await world.ask('PUT', '/_acc/users/admins', {
      as: 'elena:' + account,
      body: { k: 'admin', v: { password } },
    })
    await world.ask('GET', '/_data/x', { as: 'elena:admin#' + password })
    await world.ask('GET', '/_data/x', { as: 'elena:' + guess })
    await world.ask('PUT', '/_data/x', { as: sys, body: `{"secret":"${json}"` })
    await world.ask('PUT', '/_data/x', { as: sys, body: `{"k":"a","v":{"a":"${json}","a":1}}` })
    await world.ask('PUT', '/_probe', { as: sys, body: { strict: [json] } })
    await world.ask('GET', `/_data/x?k=${json}&token=${json}`, { as: sys })
    await world.ask('GET', `/_probe/fail?how=${json}`, { as: sys })
    await world.raw(`GARBAGE ${json}\r\nAuthorization: ${basic(sys)}\r\n\r\n`)
    const made = await world.ask('PUT', '/_acc/accounts', {
      as: sys,
      body: { k: 'richie', v: { email: 'richie@example.com' } },
    })
    const generated = made.json.v.secret as string
    expect(generated).toBeTruthy()
    await world.close()

    const text = world.logged()
    expect(text).toContain('kv4 listens')
    expect(text).toContain('"msg":"request"')
    for (const secret of [...secrets, SYS_SECRET, generated]) expect(text).not.toContain(secret)
    expect(text).not.toMatch(/Basic [A-Za-z0-9+/]{8}/)
  })
})
