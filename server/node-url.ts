import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import type { Config } from './config'

const EVERY_ADDRESS = ['0.0.0.0', '::']

/** How others reach this node: KV4_NODE_URL, or what it listens on. Without a trailing slash. */
export function nodeUrlOf(
  { nodeUrl }: Pick<Config, 'nodeUrl'>,
  { address, port, family }: AddressInfo,
): string {
  if (nodeUrl !== undefined) return nodeUrl.replace(/\/+$/, '')
  const host = EVERY_ADDRESS.includes(address) ? hostname() : family === 'IPv6' ? `[${address}]` : address
  return `http://${host}:${port}`
}

/** What clients are told to open websockets under: KV4_PUBLIC_WS_URL, or the node itself. */
export function publicWsUrlOf({ publicWsUrl }: Pick<Config, 'publicWsUrl'>, nodeUrl: string): string {
  return publicWsUrl?.replace(/\/+$/, '') ?? nodeUrl.replace(/^http/, 'ws') + '/ws'
}
