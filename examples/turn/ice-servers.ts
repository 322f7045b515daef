import { createHmac } from 'node:crypto'

export interface TurnCredentials {
  readonly username: string
  readonly credential: string
}

/**
 * What coturn accepts under `use-auth-secret` until the expiry: the user is `<unix seconds>:<user>`, the password the
 * base64 HMAC-SHA1 of it under the shared secret (static-auth-secret).
 */
export function timeLimited(
  user: string,
  seconds: number,
  secret: string,
  now = Date.now(),
): TurnCredentials {
  const username = `${Math.floor(now / 1000) + seconds}:${user}`
  return { username, credential: createHmac('sha1', secret).update(username).digest('base64') }
}

export type IceServer =
  { readonly url: string } | { readonly username: string; readonly url: string; readonly credential: string }

/** Every way in which clients try to get through, each with the same credentials; `url` is one string. */
export function iceServers(host: string, { username, credential }: TurnCredentials): readonly IceServer[] {
  const turn = (url: string): IceServer => ({ username, url, credential })
  return [
    { url: `stun:${host}` },
    turn(`turn:${host}:80?transport=udp`),
    turn(`turn:${host}:3478?transport=udp`),
    turn(`turn:${host}:80?transport=tcp`),
    turn(`turn:${host}:3478?transport=tcp`),
    turn(`turns:${host}:443?transport=tcp`),
    turn(`turns:${host}:5349?transport=tcp`),
  ]
}
