import type { AccountEnds, AccountHold } from '../../auth/account-ends'
import type { BanEnds } from '../../auth/ban-ends'
import type { Bans } from '../../auth/bans'
import type { TokenHolder, TokenKeeper } from '../../auth/token-keeper'
import { Path, isKv4Error } from '../../core'
import type { DoorWatcher, WatchDoor } from '../watch-door'
import type { Socket, SocketListener, SocketRequest, SocketRoute } from '../socket'
import type { Channel } from './channel'
import { DIALECTS, type Dialect, type DialectSegment } from './dialects'
import { Pace } from './pace'
import { Watches } from './watches'
import { BAD_TOKEN, BANNED, type Router, type Seat } from './router'

/** The store does not answer: the client comes back by itself. */
const TRY_AGAIN = 1013

export interface SignalOptions {
  readonly router: Router
  readonly tokens: Pick<TokenKeeper, 'verify'>
  readonly bans: Pick<Bans, 'check'>
  readonly banEnds: BanEnds
  readonly accountEnds: AccountEnds
  readonly watches: WatchDoor
  /** Counts of a channel: logins (`router:sub`) and bytes of frames passed on (`router:pkt`). */
  readonly count: (
    channel: Channel,
    measurement: 'router:sub' | 'router:pkt',
    user: string,
    value: number,
  ) => void
  readonly onBackgroundError: (error: unknown) => void
}

/**
 * The upgrade paths of contract §1: the last segment is the token, the one before it names the dialect; whatever path the
 * advertised base has may stand before, unless it begins as the prefix of a service does. Empty segments do not count:
 * clients put a slash behind a base that ends in one.
 */
const PATTERN = /^\/+(?:(?![_%])[^/]+\/+(?:[^/]+\/+)*)?(v1|v2|ws)\/+([^/]+)\/*$/

/** The socket that clients of all generations open. */
export function signal(options: SignalOptions): SocketRoute {
  return {
    pattern: PATTERN,
    access: 'public',
    summary:
      'The signalling socket: the token of `_token` says account, channel and user. `v1` and `v2` speak the envelope of V2 and V3, `ws` that of V1.',
    async admit(request, [, segment, text]) {
      const dialect = DIALECTS[segment as DialectSegment]
      const holder = await verified(options.tokens, text!)
      if (holder === undefined) return refusal(dialect)
      await options.bans.check(holder.bucket, holder.path ?? Path.root, request.remoteAddress)
      return connection(options, holder, dialect, request)
    },
  }
}

/** undefined: it is good for nothing. */
async function verified(tokens: SignalOptions['tokens'], text: string): Promise<TokenHolder | undefined> {
  try {
    return await tokens.verify('signal', decodeURIComponent(text))
  } catch (error) {
    if (isKv4Error(error, 'unauthorized') || error instanceof URIError) return undefined
    throw error
  }
}

/** Contract §1: a handshake that is refused leads clients astray, one that is closed they understand. */
function refusal({ refusal: frame }: Dialect): SocketListener {
  return {
    open(socket) {
      if (frame !== undefined) socket.send(frame)
      socket.close(BAD_TOKEN, 'token invalid')
    },
  }
}

function connection(
  { router, bans, banEnds, accountEnds, watches: door, count, onBackgroundError }: SignalOptions,
  holder: TokenHolder,
  dialect: Dialect,
  { rawQuery, remoteAddress: address }: SocketRequest,
): SocketListener {
  const { bucket, path = Path.root, user, login } = holder
  const channel: Channel = { bucket, path }
  let watches: Watches | undefined
  let pace: Pace | undefined
  let seat: Seat | undefined
  let account: AccountHold | undefined
  let ban: ReturnType<BanEnds['hold']> | undefined
  let open = true

  async function enter(socket: Socket): Promise<void> {
    // Nothing is heard from somebody who is not in.
    socket.pause()
    const wantsGaps = new URLSearchParams(rawQuery).get('gaps') === '1'
    await account!.ready
    const member = { user, login, address, socket, dialect, since: Date.now(), wantsGaps }
    seat = await router.enter(channel, member, () => open)
    if (seat === undefined) return
    count(channel, 'router:sub', user, 1)
    try {
      // Once more: a ban may have come before it was watched for.
      await bans.check(bucket, path, address)
    } catch (error) {
      if (!isKv4Error(error, 'forbidden')) throw error
      socket.close(BANNED, 'banned')
      return
    }
    socket.resume()
  }

  return {
    open(socket) {
      pace = new Pace(socket)
      const watcher = dialect.watches ? watcherOf(holder, address) : undefined
      if (watcher !== undefined) watches = new Watches(socket, door, watcher, onBackgroundError)
      ban = banEnds.hold(bucket, path, address, () => socket.close(BANNED, 'banned'))
      account = accountEnds.hold(bucket, () => socket.close(BAD_TOKEN, 'the account is not active'))
      enter(socket).catch((error: unknown) => {
        onBackgroundError(error)
        socket.close(TRY_AGAIN)
      })
    },
    message(frame) {
      if (isKeepAlive(frame)) {
        pace!.keepAlive()
        return
      }
      pace!.message(frame.length)
      const text = frame.toString('utf8')
      if (watches?.take(text) === true) return
      if (seat?.say(text) === true) count(channel, 'router:pkt', user, frame.length)
    },
    closed() {
      open = false
      if (pace === undefined) return
      pace.end()
      watches?.end()
      ban!.release()
      account!.release()
      seat?.leave()
    },
  }
}

/** Who the bearer is to what he watches, where his token was made for that (`watch` of `_token`). */
function watcherOf(
  { account, sub, bucket, login, path, scope }: TokenHolder,
  address: string,
): Omit<DoorWatcher, 'signal'> | undefined {
  const prefixes = scope?.['watch']
  if (!Array.isArray(prefixes)) return undefined
  return {
    principal: { account, ...(sub !== undefined && { sub }), bucket, login, kind: 'token' },
    address,
    ...(path !== undefined && { within: path }),
    prefixes: prefixes.filter((prefix) => typeof prefix === 'string'),
  }
}

const PING = Buffer.from('ping')
const EMPTY = Buffer.from('{}')

/** Contract §3, §8: swallowed without a word. */
function isKeepAlive(frame: Buffer): boolean {
  return frame.length <= 4 && (frame.equals(PING) || frame.equals(EMPTY))
}
