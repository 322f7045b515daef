import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { HostPresence } from '../../service'
import { createTurnService } from './turn-service'

/**
 * `_turn` as a program of its own: docs/external-services.md. Its configuration is the environment:
 *
 *     TURN_PLATFORM   where the platform is               http://127.0.0.1:4006
 *     TURN_TOKEN      a host token for `_turn`            PUT /_host/runtime/hosts/token?prefix=_turn as $sys
 *     TURN_SECRET     coturn's static-auth-secret
 *     TURN_HOST       the TURN server as clients reach it this machine's name
 *     TURN_LISTEN     address and port to listen on       127.0.0.1:4010
 *     TURN_URL        this program as the platform reaches it; default: what it listens on
 *     TURN_SECONDS    how long credentials are good       3600; a call may ask for less by `expire`
 *     TURN_NAME       this host among those of the service; default: this machine's name
 */
async function main(env: NodeJS.ProcessEnv): Promise<void> {
  const platform = (env['TURN_PLATFORM'] ?? 'http://127.0.0.1:4006').replace(/\/+$/, '')
  const machine = hostname().replace(/[^A-Za-z0-9._-]/g, '-')
  const turnHost = env['TURN_HOST'] ?? machine
  const [, address = '', port = ''] = /^(.+):(\d+)$/.exec(env['TURN_LISTEN'] ?? '127.0.0.1:4010') ?? []
  const log = (line: string) => process.stderr.write(`${new Date().toISOString()} ${line}\n`)

  const server = createTurnService({
    platform,
    key: () => presence.key,
    turnHost,
    turnSecret: required(env, 'TURN_SECRET'),
    seconds: Number(env['TURN_SECONDS'] ?? 3600),
    log,
  })
  const token = required(env, 'TURN_TOKEN')
  server.listen(Number(port), address)
  await once(server, 'listening')
  const bound = server.address() as AddressInfo
  const presence = new HostPresence({
    platform,
    authorization: `Bearer ${token}`,
    registration: {
      host: env['TURN_NAME'] ?? machine,
      prefix: '_turn',
      url: env['TURN_URL'] ?? `http://${address}:${bound.port}`,
      public: `turn:${turnHost}`,
      layers: ['*turn', '*stats:turn:sess'],
    },
    onError: (error) => log(`not refreshed: ${String(error)}`),
  })
  await presence.start()
  log(`_turn is at ${platform}/_turn, for ${turnHost}`)

  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => {
      presence
        .stop()
        .catch((error: unknown) => log(`not withdrawn: ${String(error)}`))
        .finally(() => server.close(() => process.exit(0)))
    })
}

function required(env: NodeJS.ProcessEnv, name: string): string {
  const value = env[name]
  if (value === undefined || value === '') throw new Error(`${name} is not set`)
  return value
}

main(process.env).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
