import type { ClientOptions } from 'ws'
import type { Client } from '../../client'
import { startPlatform, type Platform } from '../../platform'
import { Peer } from './peer'

/** A platform with an account, and users of it who signal. */
export interface SignalWorld {
  readonly platform: Platform
  readonly elena: Client
  /** A token for a channel, which is made a namespace; `''`: universal. */
  token(channel: string, user?: string, expire?: number): Promise<string>
  /** The URL that a client of V3 makes. */
  url(token: string, at?: string): string
  /** In the room, with whatever it was told first still to be read. */
  peer(channel: string, user: string, at?: string, options?: ClientOptions): Promise<Peer>
  close(): Promise<void>
}

export async function openSignalWorld(settings: Readonly<Record<string, string>> = {}): Promise<SignalWorld> {
  const platform = await startPlatform({ settings })
  const { sys } = platform
  const { secret } = await sys.ok(
    sys.put<{ secret: string; _ver_: string }>('/_acc/accounts', {
      k: 'elena',
      v: { email: 'elena@async.cl' },
    }),
  )
  const elena = platform.as('elena', secret)
  return worldOf(platform, elena)
}

export function worldOf(platform: Platform, elena: Client): SignalWorld {
  const peers = new Set<Peer>()
  const token = async (channel: string, user?: string, expire?: number): Promise<string> => {
    if (channel !== '') await elena.post(`/_ns/${channel}`)
    const query = new URLSearchParams()
    if (user !== undefined) query.set('k', user)
    if (expire !== undefined) query.set('expire', String(expire))
    return elena.ok(elena.put<string>(`/_token/${channel}?${query.toString()}`))
  }
  const url = (text: string, at = 'v2') => `${platform.url.replace('http', 'ws')}/${at}/${text}`
  return {
    platform,
    elena,
    token,
    url,
    async peer(channel, user, at, options) {
      const peer = await Peer.in(url(await token(channel, user), at), options)
      peers.add(peer)
      return peer
    },
    async close() {
      for (const peer of peers) peer.terminate()
      await platform.close()
    },
  }
}
