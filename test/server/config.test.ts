import { resolve } from 'node:path'
import { describe as show, readConfig } from '../../server/config'
import { ConfigError, SETTINGS, SETTING_NAMES, flagOf } from '../../server/settings'

function problems(env: NodeJS.ProcessEnv, args: string[] = []): string {
  try {
    readConfig(env, args)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  throw new Error('was accepted')
}

describe('configuration', () => {
  test('has a default for everything', () => {
    const config = readConfig({})
    expect(config).toMatchObject({
      port: 4006,
      host: '127.0.0.1',
      dataDir: resolve('data'),
      status: 'rest',
      requireVer: false,
      statsFlushMs: 15_000,
      trustProxy: [],
      plugins: [],
      logLevel: 'info',
    })
    expect(config.couchdbUrl).toBeUndefined()
    expect(config.node).not.toBe('')
    expect(Object.isFrozen(config)).toBe(true)
  })

  test('a flag is the variable in another spelling, and wins over it', () => {
    expect(flagOf('KV4_DATA_DIR')).toBe('--data-dir')
    expect(readConfig({ KV4_PORT: '1' }, ['--port', '2']).port).toBe(2)
    expect(readConfig({}, ['--port=3', '--status', 'always200', '--require-ver=1'])).toMatchObject({
      port: 3,
      status: 'always200',
      requireVer: true,
    })
    expect(readConfig({}, ['--couchdb-url=http://a:b=c@h:5984']).couchdbUrl).toBe('http://a:b=c@h:5984')
  })

  test('an empty variable is an unset one', () => {
    expect(readConfig({ KV4_COUCHDB_URL: '', KV4_PORT: '' })).toMatchObject({ port: 4006 })
  })

  test('leaves the tests and the client their names', () => {
    expect(readConfig({ KV4_TEST_COUCHDB_URL: 'x', KV4_USER: 'y', OTHER: 'z' }).port).toBe(4006)
  })

  test.each([
    [{ KV4_PROT: '1' }, 'KV4_PROT'],
    [{ KV4_PORT: 'http' }, 'KV4_PORT "http"'],
    [{ KV4_PORT: 'tcp://10.0.0.1:4006' }, 'KV4_PORT'],
    [{ KV4_PORT: '65536' }, 'KV4_PORT'],
    [{ KV4_PORT: '-1' }, 'KV4_PORT'],
    [{ KV4_STATUS: '200' }, 'KV4_STATUS'],
    [{ KV4_REQUIRE_VER: 'yes' }, 'KV4_REQUIRE_VER'],
    [{ KV4_COUCHDB_URL: 'couch.example.com' }, 'KV4_COUCHDB_URL'],
    [{ KV4_COUCHDB_URL: 'file:///etc/passwd' }, 'KV4_COUCHDB_URL'],
    [{ KV4_COUCHDB_URL: 'http://admin:a/b@127.0.0.1:5984' }, 'must be %-escaped (`/` is %2F'],
    [{ KV4_COUCHDB_URL: 'http://admin:1/b@127.0.0.1:5984' }, 'must be %-escaped'],
    [{ KV4_TRUST_PROXY: 'true' }, 'KV4_TRUST_PROXY'],
    [{ KV4_TRUST_PROXY: '10.0.0.0/33' }, 'KV4_TRUST_PROXY'],
    [{ KV4_PUBLIC_WS_URL: 'https://x' }, 'KV4_PUBLIC_WS_URL'],
    [{ KV4_LOG_LEVEL: 'loud' }, 'KV4_LOG_LEVEL'],
    [{ KV4_SYS_SECRET: '!' + 'x'.repeat(20) }, 'KV4_SYS_SECRET'],
    [{ KV4_SYS_SECRET: 'with a blank' }, 'KV4_SYS_SECRET'],
    [{ KV4_PEPPER: 'short' }, 'KV4_PEPPER'],
    [{ KV4_NODE: 'a node' }, 'KV4_NODE'],
    [{ KV4_STATS_FLUSH_MS: '0' }, 'KV4_STATS_FLUSH_MS'],
    [{ KV4_MOUNT_LOGINS: 'elena:secret' }, 'KV4_MOUNT_LOGINS'],
    [{ KV4_MOUNT_LOGINS: 'nesoi=elena' }, 'KV4_MOUNT_LOGINS'],
    [{ KV4_MOUNT_LOGINS: 'nesoi=elena:one nesoi=otto:two' }, 'KV4_MOUNT_LOGINS'],
  ])('refuses %j', (env, name) => {
    expect(problems(env)).toContain(name)
  })

  test.each([
    [['--prot', '1'], '--prot'],
    [['--port'], 'lacks a value'],
    [['--port', '1', '--port', '2'], 'twice'],
    [['4006'], '4006'],
  ])('refuses the flags %j', (args, text) => {
    expect(problems({}, args)).toContain(text)
  })

  test('tells every problem at once, and no secret', () => {
    const secrets = {
      KV4_SYS_SECRET: 'canary#1',
      KV4_PEPPER: 'canary2',
      KV4_COUCHDB_URL: 'canary3:x@y',
      KV4_MOUNT_LOGINS: 'canary5',
    }
    const message = problems({ ...secrets, KV4_PORT: 'x', KV4_NO: 'y' }, ['--no-such=canary4'])
    for (const name of [...Object.keys(secrets), 'KV4_PORT', 'KV4_NO', '--no-such'])
      expect(message).toContain(name)
    expect(message).not.toContain('canary')
  })

  test('is shown without secrets', () => {
    const config = readConfig({
      KV4_SYS_SECRET: 'canary-secret-0123456789',
      KV4_PEPPER: 'canary-pepper-0123456789-0123456789-0123',
      KV4_COUCHDB_URL: 'http://admin:canary@127.0.0.1:5984/x?canary=1',
      KV4_TRUST_PROXY: '10.0.0.0/8, ::1',
      KV4_MOUNT_LOGINS: 'nesoi=elena:canary v2=elena#lily:!canary:1',
    })
    expect(config.mountLogins).toEqual({
      nesoi: { user: 'elena', password: 'canary' },
      v2: { user: 'elena#lily', password: '!canary:1' },
    })
    const shown = show(config)
    expect(shown.map(({ name }) => name)).toEqual(SETTING_NAMES)
    expect(JSON.stringify(shown)).not.toContain('canary')
    const value = (name: string) => shown.find((row) => row.name === name)?.value
    expect(value('KV4_COUCHDB_URL')).toBe('http://127.0.0.1:5984/x')
    expect(value('KV4_SYS_SECRET')).toBe('(set)')
    expect(value('KV4_MOUNT_LOGINS')).toBe('(set)')
    expect(value('KV4_TRUST_PROXY')).toBe('10.0.0.0/8,::1')
    expect(value('KV4_REQUIRE_VER')).toBe('0')
    expect(value('KV4_PLUGINS')).toBe('(none)')
  })

  test.each(SETTING_NAMES)('%s says what it means, and its default or what happens without', (name) => {
    const setting: { default?: string; unset?: string; meaning: string } = SETTINGS[name]
    expect(setting.meaning).toMatch(/\.$/)
    expect(setting.default === undefined).toBe(setting.unset !== undefined)
  })
})
