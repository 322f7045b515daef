import { setTimeout as wait } from 'node:timers/promises'
import { Kv4Error, isKv4Error } from '../../core'
import type { JsonObject } from '../../core'
import type { StreamEvent } from '../module'
import type { Socket } from '../socket'
import type { DoorWatcher, WatchDoor } from '../watch-door'
import { parseObject } from './dialects/members'

/** Watches at once of one connection. */
const MOST = 100
/** Bytes that may wait for the reader before the next change does. */
const HIGH_WATER = 256 * 1024
const LOOK_MS = 20
const STALL_MS = 10_000

/** `t` of the frames that watch, both ways. */
const SERVICE = 'w'

/**
 * The watches of one connection, whose token lets it watch. Frames of the envelope of V3, `t` `w`; `id` is the client's:
 *
 *     → watch    {id, target, since?}       target: /_data/lobby?k=x, as a GET would name it
 *     → unwatch  {id}
 *     ← watching {id, cursor?}              from now on; the cursor to go on from, also while nothing happens
 *     ← change   {id, cursor, change}
 *     ← ended    {id, error?}               after unwatch, or with the code of what went wrong
 */
export class Watches {
  readonly #open = new Map<string, AbortController>()

  constructor(
    private readonly socket: Pick<Socket, 'send' | 'waiting'>,
    private readonly door: WatchDoor,
    private readonly watcher: Omit<DoorWatcher, 'signal'>,
    private readonly onBackgroundError: (error: unknown) => void,
  ) {}

  /** false: not a frame of this service. */
  take(frame: string): boolean {
    const said = parseObject(frame)
    if (said?.['t'] !== SERVICE) return false
    const m = said['m'] as Readonly<Record<string, unknown>> | null | undefined
    const p = said['p'] as Readonly<Record<string, unknown>> | null | undefined
    const id = p?.['id']
    if (typeof id !== 'string' || id === '' || id.length > 64) {
      this.#send('ended', { error: 'bad_request' })
      return true
    }
    if (m?.['o'] === 'unwatch') this.#open.get(id)?.abort()
    else if (m?.['o'] === 'watch') void this.#watch(id, p!['target'], p!['since'])
    else this.#send('ended', { id, error: 'bad_request' })
    return true
  }

  end(): void {
    for (const controller of this.#open.values()) controller.abort()
  }

  async #watch(id: string, target: unknown, since: unknown): Promise<void> {
    const isWellFormed = typeof target === 'string' && (since === undefined || typeof since === 'string')
    const refusal = !isWellFormed || this.#open.has(id) ? 'bad_request' : undefined
    if (refusal !== undefined || this.#open.size >= MOST) {
      this.#send('ended', { id, error: refusal ?? 'limit_reached' })
      return
    }
    const controller = new AbortController()
    this.#open.set(id, controller)
    let error: unknown
    try {
      const { signal } = controller
      const events = await this.door.open(
        { ...this.watcher, signal },
        target as string,
        since as string | undefined,
      )
      if (since !== undefined) this.#send('watching', { id })
      for await (const event of events) {
        this.#tell(id, event)
        await this.#room(signal)
      }
    } catch (cause) {
      error = cause
    }
    this.#open.delete(id)
    if (error !== undefined && !isKv4Error(error)) this.onBackgroundError(error)
    const code = error === undefined ? undefined : isKv4Error(error) ? error.code : 'internal'
    this.#send('ended', { id, ...(code !== undefined && { error: code }) })
  }

  #tell(id: string, { id: cursor, data, text }: StreamEvent): void {
    if (data === undefined) this.#send('watching', { id, cursor: cursor! })
    else
      this.socket.send(
        `{"t":"${SERVICE}","m":{"o":"change"},"p":{"id":${JSON.stringify(id)},"cursor":${JSON.stringify(cursor)},` +
          `"change":${text ?? JSON.stringify(data)}}}`,
      )
  }

  /** Resolves when the reader has taken enough. @throws reader_too_slow */
  async #room(signal: AbortSignal): Promise<void> {
    const start = performance.now()
    while (this.socket.waiting > HIGH_WATER && !signal.aborted) {
      if (performance.now() - start > STALL_MS) throw new Kv4Error('reader_too_slow')
      await wait(LOOK_MS)
    }
  }

  #send(operation: string, p: JsonObject): void {
    this.socket.send(JSON.stringify({ t: SERVICE, m: { o: operation }, p }))
  }
}
