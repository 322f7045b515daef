import { setTimeout as wait } from 'node:timers/promises'
import { Kv4Error } from '../../core'
import type { Bucket } from '../../core'
import type { ServiceRequest, StreamEvent } from '../module'
import type { EventLog, EventType, RegistryEvent } from './event-log'
import { PLACES } from './places'
import type { PlatformClock } from './platform-clock'
import { TimeUuid } from './time-uuid'
import type { EventPosition } from './time-uuid'

export interface EventPage {
  readonly events: readonly RegistryEvent[]
  /** Id of the first event of the next page; absent on the last. */
  readonly nextMarker?: string
}

/** Where a reader begins; with neither marker nor after: an hour ago. */
export interface EventStart {
  /** At the event with this id, or the first after its time. */
  readonly marker?: string
  /** Behind the event with this id, or at the first after its time. */
  readonly after?: string
  /** Unix ms: a marker from before makes no sense. */
  readonly notBefore?: number
}

const RECENT_MS = 3600_000
const STREAM_PAGE = 100
/** A watcher looks for itself now and then, since it is the look that buries what has expired. */
const LOOK_EVERY_MS = 30_000

/** What a marker may be refused for: contract §5. */
export const MARKER_REFUSALS = {
  form: 'Invalid UUID',
  future: 'from parameter must be smaller than the current time',
  past: 'from parameter must be greater than or equal to the account creation date',
} as const

/** The feed of an account, read. */
export class Events {
  constructor(
    private readonly log: EventLog,
    private readonly clock: PlatformClock,
    private readonly look: (bucket: Bucket) => Promise<void>,
  ) {}

  /** A page, after everything has been buried whose time has come. @throws bad_request with a refusal as `reason` */
  async page(bucket: Bucket, start: EventStart, limit: number): Promise<EventPage> {
    await this.look(bucket)
    const from = await this.#start(bucket, start)
    const { events } = await this.log.read(bucket, from, limit + 1)
    if (events.length <= limit) return { events }
    return { events: events.slice(0, limit), nextMarker: events[limit]!.id }
  }

  /**
   * Waits up to `seconds`, or until `closing`, for a first event of the type; `last`: the id of the last event that was seen.
   */
  async await(
    bucket: Bucket,
    start: EventStart,
    limit: number,
    seconds: number,
    type: EventType | undefined,
    { signal, closing }: Pick<ServiceRequest, 'signal' | 'closing'>,
  ): Promise<{ readonly events: readonly RegistryEvent[]; readonly last?: string }> {
    const ending = new AbortController()
    const end = () => ending.abort()
    const timer = setTimeout(end, seconds * 1000)
    if (closing.aborted) end()
    else closing.addEventListener('abort', end)
    let last: string | undefined
    let found: readonly RegistryEvent[] = []
    try {
      const both = AbortSignal.any([signal, ending.signal])
      for await (const events of this.#follow(bucket, start, limit, both)) {
        last = events.at(-1)!.id
        found = events.filter((event) => type === undefined || event.type === type)
        if (found.length > 0) break
      }
    } finally {
      clearTimeout(timer)
      closing.removeEventListener('abort', end)
      ending.abort()
    }
    return last === undefined ? { events: found } : { events: found, last }
  }

  /** From the start on and for ever, as a stream whose events' ids resume it. */
  async *stream(
    bucket: Bucket,
    start: EventStart,
    type: EventType | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<StreamEvent, void, undefined> {
    for await (const events of this.#follow(bucket, start, STREAM_PAGE, signal))
      for (const event of events)
        if (type === undefined || event.type === type)
          yield { id: event.id, event: event.type, data: { ...event } }
  }

  async *#follow(
    bucket: Bucket,
    start: EventStart,
    limit: number,
    signal: AbortSignal,
  ): AsyncGenerator<readonly RegistryEvent[], void, undefined> {
    await this.look(bucket)
    let position: EventPosition | undefined
    while (!signal.aborted) {
      // Before the look into the store, so that what comes in between wakes us.
      const since = await bucket.cursor()
      position ??= await this.#start(bucket, start)
      const { events, next } = await this.log.read(bucket, position, limit)
      position = next
      if (events.length > 0) {
        yield events
        continue
      }
      await this.#change(bucket, since, signal)
      if (!signal.aborted) await this.look(bucket)
    }
  }

  /** Resolves when something was published behind the cursor, or after a while. */
  async #change(bucket: Bucket, since: string, signal: AbortSignal): Promise<void> {
    const controller = new AbortController()
    const both = AbortSignal.any([signal, controller.signal])
    const changes = bucket
      .watch({ ...PLACES.events, depth: 0 }, { since, signal: both })
      [Symbol.asyncIterator]()
    const change = changes.next()
    try {
      await Promise.race([
        change,
        wait(LOOK_EVERY_MS, undefined, { signal: both, ref: false }).catch(() => undefined),
      ])
    } finally {
      controller.abort()
      await change
      await changes.return?.()
    }
  }

  async #start(bucket: Bucket, start: EventStart): Promise<EventPosition> {
    if (start.marker !== undefined) return this.#seek(bucket, 'marker', start.marker, start.notBefore)
    if (start.after !== undefined) {
      const { exact, ...position } = await this.#seek(bucket, 'after', start.after)
      return exact ? { ...position, place: position.place + 1 } : position
    }
    return this.log.seekTime(bucket, this.clock.now() - RECENT_MS)
  }

  async #seek(
    bucket: Bucket,
    parameter: 'marker' | 'after',
    uuid: string,
    notBefore = 0,
  ): Promise<EventPosition & { readonly exact: boolean }> {
    if (!TimeUuid.is(uuid)) throw refusal(parameter, 'form')
    const found = await this.log.seek(bucket, uuid.toLowerCase())
    if (found.exact) return found
    const time = TimeUuid.time(uuid)
    if (time > this.clock.now()) throw refusal(parameter, 'future')
    // In whole seconds: clients make markers of their own clocks.
    if (time + 1000 < notBefore) throw refusal(parameter, 'past')
    return found
  }
}

function refusal(parameter: string, reason: keyof typeof MARKER_REFUSALS): Kv4Error {
  return new Kv4Error('bad_request', { fields: { parameter, reason: MARKER_REFUSALS[reason] } })
}
