import { SessionCacheManager } from '../../session-cache'
import type { LruConf, MessageRelayConf } from '../../session-cache'

// One process of a box; its parent calls the manager's methods through messages.
const [lru, line] = JSON.parse(process.argv[2]!) as [LruConf, MessageRelayConf | null | undefined]
const manager = new SessionCacheManager(lru, line ?? undefined)
const methods = manager as unknown as Record<string, (...args: unknown[]) => unknown>
const notified: string[] = []

async function answer(method: string, args: unknown[]): Promise<unknown> {
  switch (method) {
    case 'watch':
      manager.application_set_key_notify(args[0] as string, (key) => notified.push(key))
      return null
    case 'notified':
      return notified
    case 'count':
      return (manager.get_LRUManager() as { table: { count: number } }).table.count
    case 'set_many':
      for (let i = 0; i < (args[1] as number); i++)
        await manager.set(`${args[0] as string}${i}`, `value ${i}`)
      return null
    case 'set_for_ever':
      for (let i = 0; ; i++) await manager.set('busy-' + (i % 500), 'x'.repeat(100))
    default:
      return methods[method]!.apply(manager, args)
  }
}

process.on('message', (message) => {
  const { id, method, args } = message as { id: number; method: string; args: unknown[] }
  answer(method, args).then(
    (value) => process.send!({ id, value: value ?? null }),
    (error: unknown) => process.send!({ id, error: String(error) }),
  )
})
const end = () => void manager.close().then(() => process.exit(0))
process.on('SIGTERM', end)
process.on('disconnect', end)
process.send!({ id: 0 })
