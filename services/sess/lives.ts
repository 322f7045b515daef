import { setTimeout as sleep } from 'node:timers/promises'
import {
  Kv4Error,
  Path,
  isKv4Error,
  type Address,
  type Bucket,
  type BucketName,
  type Key,
  type Version,
  addressIn,
} from '../../core'
import { Turns } from '../turns'
import { LIVES, SESSIONS, lifeAddress } from './places'
import { settingsOf, type Settings } from './settings'

const DAY_MS = 24 * 3600_000
const LONGEST_MS = 30 * DAY_MS
const TTLS = 12
/** Clocks of nodes differ: a life outlasts its documents, and they outlast the last instant at which it may be read. */
const SPARE_MS = DAY_MS
const MOST_TTL_MS = 9 * 366 * DAY_MS
const AT_ONCE = 100
const ATTEMPTS = 50
const PAUSE_MS = 20
const REMEMBERED = 10_000

/** Unix ms, and ms. */
interface Life {
  readonly ttl: number
  /** When it lapses unless it is extended. */
  readonly until: number
  /** When it lapses whatever happens. */
  readonly ends: number
  /** The last document has gone: the next write begins a new life. */
  readonly left?: true
}

/** `none`: the session never had a life, or it is so long over that nothing is left that lived by it. */
type State = { readonly kind: 'none' } | Found
interface Found {
  readonly kind: 'live' | 'lapsed'
  readonly life: Life
  readonly version: Version
}

/** What a write into a session has to do for its life. */
export interface Entrance {
  /** Of the document, ms; absent: it has no life to end with. */
  readonly ttl?: number
  /** To be done together with the write. false: the life lapsed meanwhile, and the write has to be done again. */
  readonly renew?: () => Promise<boolean>
}

const FREE: Entrance = Object.freeze({})

/**
 * How long sessions live. Their life is an entry of its own without history, so that prolonging it adds no version to
 * any document. Documents only carry a mark (a far `exp`) that they live by it: those without one are read without
 * looking at anything else.
 *
 *   no life ──a write with a ttl──► live ──until──► lapsed ──the next write──► live, empty but for what is written
 *                                  ▲   │ use, once a share of the ttl has gone by
 *                                  └───┘ but never past `ends`
 *
 * A life is renewed only on the version that was seen, so what has lapsed stays so, whichever node looks at it.
 */
export class Lives {
  /** Accounts in which some session has, or had, a life. */
  readonly #used = new Set<BucketName>()
  readonly #pending = new Set<Promise<void>>()
  readonly #extending = new Set<string>()
  /** Of the renewals of one session. */
  readonly #turns = new Turns()

  constructor(private readonly onBackgroundError: (error: unknown) => void = () => undefined) {}

  /** Whether a document that lives by its session is there. A read counts as use. */
  async isRead(bucket: Bucket, session: Path, by: string, consistent: boolean): Promise<boolean> {
    const state = await stateOf(bucket, session, consistent)
    if (state.kind === 'lapsed') this.sweep(bucket, session, by)
    if (state.kind !== 'live') return false
    const settings = await settingsOf(bucket)
    if (settings.extendedBy === 'reads' && isDue(state.life, settings.share)) {
      const longer = lastingFor(state.life, state.life.ttl)
      this.#inBackground(bucket, session, () => replace(bucket, session, state, longer, by))
    }
    return true
  }

  /** Whether documents that live by their session are hidden; without a look at any where nobody in the account has a life. */
  async mayHide(bucket: Bucket, session: Path, consistent = false): Promise<boolean> {
    if (!(await this.#inUse(bucket))) return false
    return (await stateOf(bucket, session, consistent)).kind !== 'live'
  }

  /**
   * Before a write. What a life that has lapsed left behind is removed, so that it does not live by the next one.
   * @param asked ms that the caller names; the life then lasts so long from now
   * @throws bad_ttl, locked
   */
  async enter(bucket: Bucket, session: Path, asked: number | undefined, by: string): Promise<Entrance> {
    if (asked !== undefined) checkTtl(asked)
    const settings = await settingsOf(bucket)
    const wanted = asked ?? settings.ttl
    if (wanted === undefined && !(await this.#inUse(bucket))) return FREE
    this.#remember(bucket.name)
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const state = await stateOf(bucket, session, attempt > 0)
      if (state.kind === 'none') {
        if (wanted === undefined) return FREE
        const life = newLife(wanted, settings)
        return this.#inTurn(bucket, session, {
          ttl: documentTtl(life),
          renew: () => begin(bucket, session, life, asked, by),
        })
      }
      if (state.kind === 'live' && state.life.left !== true)
        return this.#inTurn(bucket, session, join(bucket, session, state, asked, settings, by))
      const entrance = await this.#succeed(bucket, session, state, wanted, settings, by)
      if (entrance !== undefined) return entrance
      await sleep(Math.random() * PAUSE_MS)
    }
    throw new Kv4Error('locked', { retryAfter: 1 })
  }

  /** The session lives so long from now. false: it has no life to prolong. @throws bad_ttl, locked */
  async touch(bucket: Bucket, session: Path, ttl: number, by: string): Promise<boolean> {
    checkTtl(ttl)
    return this.#turns.take(
      idOf(bucket, session),
      async () => !(await isLeft(bucket, session)) && renew(bucket, session, ttl, by),
    )
  }

  /** After a document was removed: a session without documents is over, and the next under its name begins anew. */
  async leave(bucket: Bucket, session: Path, by: string): Promise<void> {
    if (!(await isEmpty(bucket, session))) return
    const state = await stateOf(bucket, session, true)
    // It stays: somebody may be about to write a document that lives by it.
    if (state.kind === 'live') await replace(bucket, session, state, { ...state.life, left: true }, by)
  }

  /** Begins to remove what a session that has lapsed left behind. */
  sweep(bucket: Bucket, session: Path, by: string): void {
    this.#inBackground(bucket, session, async () => {
      const state = await stateOf(bucket, session, true)
      if (state.kind === 'lapsed')
        await this.#succeed(bucket, session, state, undefined, await settingsOf(bucket), by)
    })
  }

  /** Waits for what reads have begun. */
  async settled(): Promise<void> {
    while (this.#pending.size > 0) await Promise.all(this.#pending)
  }

  /**
   * A life in place of one that is over. Who has replaced the old one by itself may remove what lived by it: nobody else
   * can have begun a new life before, so nothing of a new one is among it. undefined: somebody came first.
   */
  async #succeed(
    bucket: Bucket,
    session: Path,
    state: Found,
    wanted: number | undefined,
    settings: Settings,
    by: string,
  ): Promise<Entrance | undefined> {
    let held: Found = state
    if (state.kind === 'lapsed') {
      const version = await replace(bucket, session, state, state.life, by)
      if (version === undefined) return undefined
      held = { ...state, version }
      await clear(bucket, session, by)
    }
    if (wanted === undefined) {
      const removed = await removeAsFound(bucket, lifeAddress(session), held.version, by)
      return removed ? FREE : undefined
    }
    const life = newLife(wanted, settings)
    const begun = await replace(bucket, session, held, life, by)
    return begun && { ttl: documentTtl(life) }
  }

  #inTurn(bucket: Bucket, session: Path, { renew, ...entrance }: Entrance): Entrance {
    if (renew === undefined) return entrance
    return { ...entrance, renew: () => this.#turns.take(idOf(bucket, session), renew) }
  }

  /** Asked before every write, so it has to cost nothing where no session has a life: the listing is in the cache. */
  async #inUse(bucket: Bucket): Promise<boolean> {
    if (this.#used.has(bucket.name)) return true
    const { items } = await bucket.paths(LIVES, Path.root, undefined, { limit: 1 })
    if (items.length === 0) return false
    this.#remember(bucket.name)
    return true
  }

  #remember(name: BucketName): void {
    if (this.#used.size >= REMEMBERED) this.#used.clear()
    this.#used.add(name)
  }

  /** The reader does not wait; what fails is tried by the next. */
  #inBackground(bucket: Bucket, session: Path, work: () => Promise<unknown>): void {
    const id = idOf(bucket, session)
    if (this.#extending.has(id)) return
    this.#extending.add(id)
    const done = work()
      .then(() => undefined, this.onBackgroundError)
      .finally(() => {
        this.#extending.delete(id)
        this.#pending.delete(done)
      })
    this.#pending.add(done)
  }
}

function idOf(bucket: Bucket, session: Path): string {
  return `${bucket.name}\n${session}`
}

async function stateOf(bucket: Bucket, session: Path, consistent: boolean): Promise<State> {
  const version = await bucket.get(lifeAddress(session), consistent ? { consistent } : undefined)
  if (version === undefined) return { kind: 'none' }
  const life = version.v as unknown as Life
  return { kind: life.until > Date.now() ? 'live' : 'lapsed', life, version }
}

async function isEmpty(bucket: Bucket, session: Path): Promise<boolean> {
  const { items } = await bucket.keys({ layer: SESSIONS, path: session }, { limit: 1, consistent: true })
  return items.length === 0
}

/** Its life goes on, but it is over: the next write begins anew. */
async function isLeft(bucket: Bucket, session: Path): Promise<boolean> {
  const state = await stateOf(bucket, session, true)
  return state.kind === 'live' && state.life.left === true && isEmpty(bucket, session)
}

function checkTtl(ms: number): void {
  if (!(ms > 0 && ms <= MOST_TTL_MS)) throw new Kv4Error('bad_ttl')
}

function newLife(ttl: number, { longest }: Settings): Life {
  const now = Date.now()
  const ends = now + Math.min(Math.max(longest ?? Math.max(LONGEST_MS, TTLS * ttl), 1), MOST_TTL_MS)
  return { ttl, until: Math.min(now + ttl, ends), ends }
}

function isDue({ ttl, until, ends }: Life, share: number): boolean {
  return until < ends && until - Date.now() <= ttl * (1 - share)
}

function documentTtl({ ends }: Life): number {
  return ends + SPARE_MS - Date.now()
}

function lifeTtl({ ends }: Life): number {
  return ends + 2 * SPARE_MS - Date.now()
}

function lastingFor(life: Life, ttl: number): Life {
  return { ttl, until: Math.min(Date.now() + ttl, life.ends), ends: life.ends }
}

/** undefined: it is not that version any more. */
async function replace(
  bucket: Bucket,
  session: Path,
  { version: { n } }: Pick<Found, 'version'>,
  life: Life,
  by: string,
): Promise<Version | undefined> {
  try {
    return await bucket.put(lifeAddress(session), { ...life }, { by, expect: { n }, ttl: lifeTtl(life) })
  } catch (error) {
    if (isKv4Error(error, 'version_conflict')) return undefined
    throw error
  }
}

async function begin(
  bucket: Bucket,
  session: Path,
  life: Life,
  asked: number | undefined,
  by: string,
): Promise<boolean> {
  try {
    await bucket.put(lifeAddress(session), { ...life }, { by, expect: 'absent', ttl: lifeTtl(life) })
    return true
  } catch (error) {
    if (!isKv4Error(error, 'version_conflict')) throw error
  }
  return renew(bucket, session, asked, by)
}

/** The write becomes part of a life that is there. */
function join(
  bucket: Bucket,
  session: Path,
  found: Found,
  asked: number | undefined,
  { extendedBy, share }: Settings,
  by: string,
): Entrance {
  const { life } = found
  const ttl = documentTtl(life)
  if (asked === undefined && (extendedBy === 'nothing' || !isDue(life, share))) return { ttl }
  return {
    ttl,
    renew: async () =>
      (await replace(bucket, session, found, lastingFor(life, asked ?? life.ttl), by)) !== undefined ||
      renew(bucket, session, asked, by),
  }
}

/** As others have left the life; where nobody asks for a ttl of his own, theirs will do. false: it has lapsed. */
async function renew(bucket: Bucket, session: Path, asked: number | undefined, by: string): Promise<boolean> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const state = await stateOf(bucket, session, true)
    if (state.kind !== 'live') return false
    if (asked === undefined) return true
    if ((await replace(bucket, session, state, lastingFor(state.life, asked), by)) !== undefined) return true
  }
  throw new Kv4Error('locked', { retryAfter: 1 })
}

/** Removes the documents that lived by a life that is over. */
async function clear(bucket: Bucket, session: Path, by: string): Promise<void> {
  const place = { layer: SESSIONS, path: session }
  let after: Key | undefined
  do {
    const { items, next } = await bucket.entries(place, {
      limit: AT_ONCE,
      consistent: true,
      ...(after !== undefined && { after }),
    })
    const over = items.filter(({ version }) => version.exp !== undefined)
    await Promise.all(
      over.map(({ key, version }) => removeAsFound(bucket, addressIn(place, key), version, by)),
    )
    after = next
  } while (after !== undefined)
}

/** false: it has changed, or gone. */
async function removeAsFound(bucket: Bucket, address: Address, { n }: Version, by: string): Promise<boolean> {
  try {
    return (await bucket.remove(address, { by, expect: { n } })) !== undefined
  } catch (error) {
    if (isKv4Error(error, 'version_conflict')) return false
    throw error
  }
}
