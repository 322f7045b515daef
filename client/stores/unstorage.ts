import { SessionRoom, type SessionRoomOptions } from './session-room'

export type { SessionRoomOptions } from './session-room'

export interface UnstorageOptions extends SessionRoomOptions {
  /** Seconds that an item lives which is set without a ttl of its own. Default: for good. */
  readonly ttl?: number
}

/** The parts of unstorage's driver that are there; its values are texts. */
export interface UnstorageDriver {
  readonly name: 'kv4'
  readonly options: UnstorageOptions
  hasItem(key: string): Promise<boolean>
  getItem(key: string): Promise<string | null>
  setItem(key: string, value: string, options?: { readonly ttl?: number }): Promise<void>
  removeItem(key: string): Promise<void>
  getKeys(base?: string): Promise<string[]>
  clear(base?: string): Promise<void>
}

/**
 * A driver of unstorage in an account of KV4, `kv4/client/unstorage`:
 *
 *     const storage = createStorage({ driver: unstorageDriver({ url, user, secret }) })
 *     await storage.setItem('cart:ana', { things: [] }, { ttl: 3600 })
 *
 * Each item is a session of `_sess` below `prefix` (`unstorage`) with the namespace `namespace` (`unstorage`).
 */
export function unstorageDriver(options: UnstorageOptions): UnstorageDriver {
  const { ttl: usual, ...where } = options
  const room = new SessionRoom(where, 'unstorage')
  const startsWith = (base: string) => (key: string) => key.startsWith(base)
  return {
    name: 'kv4',
    options,
    hasItem: async (key) => (await room.get(key)) !== undefined,
    getItem: async (key) => ((await room.get(key))?.value as string | undefined) ?? null,
    async setItem(key, value, { ttl = usual } = {}) {
      await room.set(key, { value }, ttl === undefined ? undefined : ttl * 1000)
    },
    removeItem: async (key) => void (await room.delete(key)),
    async getKeys(base = '') {
      const keys: string[] = []
      for await (const key of room.keys()) if (key.startsWith(base)) keys.push(key)
      return keys
    },
    clear: (base = '') => room.clear(startsWith(base)),
  }
}
