import { setMaxListeners } from 'node:events'
import { BucketName, addressId, isKv4Error, addressIn } from '../../core'
import type { Bucket, Json, Key, WatchEvent } from '../../core'
import { HOOK_LAYERS } from '../hook'
import type { HookFormat, HookMessage, HookTry, StoredHook } from '../hook'
import type { HookBook } from '../hook-book'
import type { WebhookSender } from '../webhook-sender'
import { DeadLetters } from './dead-letters'
import { jobsOf, jobsPlace } from './jobs'
import type { ReplayJob, ResendJob } from './jobs'
import { Letters } from './letters'
import type { Outline } from './letters'
import { eventTime } from './match'
import { Fenced, Progress } from './progress'
import type { StoredProgress } from './progress'
import { Reader } from './reader'
import { probeAfter, waitAfter } from './schedule'
import { signatureHeaders } from './signature'
import { Slots } from './slots'
import { Window } from './window'

/** Sent to one endpoint at once. */
const AT_ONCE = 8
/** Read ahead of what is done with: events, and characters of what is to be sent. */
const MAX_WINDOW = 500
/** Events after which, when half of that is used, it is seen to that there is room. */
const LOOK_EVERY = 50
const MAX_WAITING = 8 * 1024 * 1024
/** Set aside: behind these nothing new is sent. */
const MAX_ASIDE = 1_000
/** Failures without a success between, after which an endpoint counts as down. */
const DOWN_AFTER = 5
/** How late the stored progress may be. */
const FLUSH_MS = 300
/** Changes that may go by before a cursor that only follows is stored; every store is a change too. */
const IDLE_CHANGES = 500
const STORE_RETRY_MS = 1_000
/** What is under way at the end may take so long. */
const FINISH_MS = 2_000
const GONE = 410
// A timer cannot wait longer: the line looks again.
const LONGEST_TIMER_MS = 2 ** 31 - 1
const { account: BY } = BucketName.owner(BucketName.system)

export interface Delivery {
  readonly book: HookBook
  readonly webhooks: WebhookSender
  /** Of all hooks of the node. */
  readonly slots: Slots
  /** The life of the node. */
  readonly epoch: string
  readonly onBackgroundError: (error: unknown) => void
}

/** An event that has not been tried. */
interface Waiting {
  readonly id: string
  readonly at: number
  readonly message: HookMessage
  /** It is delivered, or kept elsewhere. */
  readonly done: () => void
}

/** The events of one address, in their order: those that were set aside, then those that have not been tried. */
interface Line {
  readonly name: string
  readonly aside: Outline[]
  readonly waiting: Waiting[]
  isBusy: boolean
  timer?: NodeJS.Timeout
}

type Outcome =
  | { readonly kind: 'delivered' }
  | { readonly kind: 'failed'; readonly last: HookTry; readonly retryAfter?: number }
  /** It will be sent again by whoever goes on. */
  | { readonly kind: 'halted' }

/**
 * Delivers one hook, on the one node that does so for its bucket.
 *
 *     feed ─► reader ─► lines, one per address ─► endpoint ─┬─ 2xx ─► done
 *              ▲           ▲                                ├─ 410 ─► the hook is disabled; nothing is done
 *            window       aside ◄───────────────────────────┴─ else, set aside until its next try
 *        (what is done)    └─► after the last ─► dead letters
 *
 * What is aside is in the store; what waits in memory is still before the cursor, and is read again after a crash. An
 * event behind one of its own address that is aside waits for it, in the end aside too, so that others go on. When the endpoint fails
 * whatever it is sent, only tries that are due, and a new event now and then, are sent until it takes one.
 */
export class HookRunner {
  readonly #reading = new AbortController()
  readonly #sending = new AbortController()
  readonly #lines = new Map<string, Line>()
  readonly #asideIds = new Set<string>()
  /** Lines whose next event is new, while the endpoint is down. */
  readonly #held = new Set<Line>()
  readonly #slots = new Slots({ all: AT_ONCE, perAccount: AT_ONCE })
  readonly #aside: Letters
  readonly #dead: DeadLetters
  readonly #roomWanted = new Set<() => void>()
  readonly #running = new Set<Promise<void>>()
  #progress!: Progress
  #reader!: Reader
  #last: HookTry | undefined
  #lastHit: number | undefined
  #replayed: StoredProgress['replayed']
  #delivered = 0
  #dropped = 0
  #failures = 0
  #probeAt = 0
  #probeTimer: NodeJS.Timeout | undefined
  #waitingSize = 0
  #flushTimer: NodeJS.Timeout | undefined
  #flushing: Promise<void> = Promise.resolve()
  /** Queued behind the one that is under way. */
  #nextWrite: Promise<void> | undefined
  #passed = 0
  #isHalted = false
  #isLost = false
  #jobs: Promise<void> | undefined
  #hasJobs = false
  /** Of the replay that is under way. */
  #replaying: Window | undefined

  constructor(
    private readonly delivery: Delivery,
    private readonly bucket: Bucket,
    private stored: StoredHook,
    private readonly format: HookFormat,
    /** Another node is at it, or the bucket is gone. */
    private readonly onLost: () => void,
  ) {
    // Each line that waits for a slot listens.
    setMaxListeners(0, this.#sending.signal)
    this.#aside = new Letters(bucket, HOOK_LAYERS.aside, stored.hook.id)
    this.#dead = new DeadLetters(bucket, stored.hook.id)
  }

  get current(): StoredHook {
    return this.stored
  }

  /** Takes the hook over from whoever had it, and goes on where he was. */
  async start(): Promise<void> {
    this.#progress = await Progress.take(this.bucket, this.stored.hook, this.delivery.epoch)
    const { last, lastHit, replayed, delivered, dropped, ...reached } = this.#progress.stored
    this.#last = last
    this.#lastHit = lastHit
    this.#replayed = replayed
    this.#delivered = delivered
    this.#dropped = dropped
    await this.#dead.load()
    for await (const outline of this.#aside.load()) this.#line(outline.line).aside.push(this.#known(outline))
    this.#reader = new Reader({
      bucket: this.bucket,
      hook: this.stored.hook,
      window: new Window(reached),
      signal: this.#reading.signal,
      room: () => this.#room(),
      offer: (event, id, window) => this.#offer(event, id, window),
      passed: (changes) => {
        if ((this.#passed += changes) >= IDLE_CHANGES) this.#changed()
      },
      onBackgroundError: this.delivery.onBackgroundError,
    })
    this.#track(this.#reader.run())
    for (const line of this.#lines.values()) this.#kick(line)
    this.jobsAsked()
  }

  /** The same hook with another endpoint, name or secret; what it is told of is the same. */
  update(stored: StoredHook): void {
    this.stored = stored
    this.#recover()
  }

  /** Somebody has asked for something. */
  jobsAsked(): void {
    this.#hasJobs = true
    if (this.#jobs !== undefined) return
    this.#jobs = this.#workJobs().finally(() => {
      this.#jobs = undefined
      if (this.#hasJobs && !this.#isHalted) this.jobsAsked()
    })
    this.#track(this.#jobs)
  }

  /** Lets what is under way end, and stores what became of it. */
  async stop(): Promise<void> {
    this.#halt()
    for (const { timer } of this.#lines.values()) clearTimeout(timer)
    const late = setTimeout(() => this.#sending.abort(), FINISH_MS)
    await this.#quiet()
    clearTimeout(late)
    this.#sending.abort()
    await Promise.allSettled(this.#running)
    clearTimeout(this.#probeTimer)
    clearTimeout(this.#flushTimer)
    if (this.#isLost) return
    try {
      await this.#write()
    } catch (error) {
      if (!(error instanceof Fenced) && !isKv4Error(error, 'bucket_not_found'))
        this.delivery.onBackgroundError(error)
    }
  }

  /** Begins nothing more. */
  #halt(): void {
    this.#isHalted = true
    this.#reading.abort()
    for (const room of this.#roomWanted) room()
  }

  /** Resolves when no line is busy, or what they do was given up. */
  async #quiet(): Promise<void> {
    while (!this.#sending.signal.aborted && [...this.#lines.values()].some(({ isBusy }) => isBusy))
      await new Promise((resolve) => setTimeout(resolve, 10))
  }

  /** Keeps an eye on work that nobody waits for. */
  #track(work: Promise<void>): void {
    const tracked = work
      .catch((error: unknown) => {
        if (error instanceof Fenced || isKv4Error(error, 'bucket_not_found')) this.#lose()
        else if (!this.#isHalted) this.delivery.onBackgroundError(error)
      })
      .finally(() => this.#running.delete(tracked))
    this.#running.add(tracked)
  }

  #lose(): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#halt()
    this.onLost()
  }

  // reading

  async #room(): Promise<void> {
    while (!this.#isHalted && (this.#reader.window.size >= MAX_WINDOW || this.#waitingSize >= MAX_WAITING))
      await new Promise<void>((resolve) => this.#roomWanted.add(resolve))
  }

  #offer(event: WatchEvent, id: string, window: Window): void {
    if (this.#asideIds.has(id)) {
      // Set aside before a crash that the cursor did not survive.
      window.done(id)
      this.#changed()
      return
    }
    const message = this.format.message(event, this.stored, id)
    this.#waitingSize += message.body.length
    const line = this.#line(addressId(event.address))
    line.waiting.push({
      id,
      at: eventTime(event),
      message,
      done: () => {
        window.done(id)
        this.#waitingSize -= message.body.length
        for (const room of this.#roomWanted) room()
        this.#roomWanted.clear()
        this.#changed()
      },
    })
    this.#kick(line)
    if (this.#isTight && (window.size % LOOK_EVERY === 0 || this.#waitingSize >= MAX_WAITING / 2))
      for (const other of this.#lines.values())
        if (other.aside.length > 0 && other.waiting.length > 0) this.#kick(other)
  }

  // lines

  #line(name: string): Line {
    let line = this.#lines.get(name)
    if (line === undefined) this.#lines.set(name, (line = { name, aside: [], waiting: [], isBusy: false }))
    return line
  }

  #known(outline: Outline): Outline {
    this.#asideIds.add(outline.id)
    return outline
  }

  #kick(line: Line): void {
    if (line.isBusy || this.#isHalted) return
    line.isBusy = true
    clearTimeout(line.timer)
    this.#track(this.#work(line))
  }

  async #work(line: Line): Promise<void> {
    try {
      while (!this.#isHalted) {
        const [head] = line.aside
        const [first] = line.waiting
        if (head !== undefined) {
          await this.#setBehind(line)
          const wait = head.next - Date.now()
          if (wait > 0) {
            line.timer = setTimeout(() => this.#kick(line), Math.min(wait, LONGEST_TIMER_MS)).unref()
            return
          }
          await this.#tryAgain(line, head)
        } else if (first !== undefined) {
          if (!this.#mayBegin(line)) return
          await this.#tryFirst(line, first)
        } else {
          this.#lines.delete(line.name)
          return
        }
      }
    } finally {
      // At once: whoever wakes the line next must not find it busy.
      line.isBusy = false
    }
  }

  async #tryFirst(line: Line, { id, at, message, done }: Waiting): Promise<void> {
    const outcome = await this.#send(id, message)
    if (outcome.kind === 'halted') return
    if (outcome.kind === 'failed') {
      const { last } = outcome
      const letter = { id, line: line.name, message, tries: 1, at, last }
      const wait = this.#waitAfter(1, outcome)
      // The one that goes on writes the progress: whoever cannot, sets nothing aside either.
      await this.#write()
      if (wait === undefined) await this.#bury(letter)
      else
        line.aside.push(
          this.#known(await this.#store(() => this.#aside.put({ ...letter, next: Date.now() + wait }))),
        )
    }
    line.waiting.shift()
    done()
  }

  async #tryAgain(line: Line, head: Outline): Promise<void> {
    const letter = await this.#store(() => this.#aside.get(head.key))
    if (letter !== undefined) {
      const outcome = await this.#send(head.id, letter.message)
      if (outcome.kind === 'halted') return
      if (outcome.kind === 'failed') {
        const tries = letter.tries + 1
        const wait = this.#waitAfter(tries, outcome)
        const failed = { ...letter, tries, last: outcome.last }
        if (wait !== undefined) {
          const next = Date.now() + wait
          await this.#store(() => this.#aside.update(head.key, { ...failed, next }))
          head.tries = tries
          head.next = next
          return
        }
        await this.#bury(failed)
      }
    }
    await this.#store(() => this.#aside.remove(head.key))
    line.aside.shift()
    this.#asideIds.delete(head.id)
    this.#letBegin()
  }

  /** What waits holds the cursor back; when that has gone far enough it is set aside too, as long as there is room. */
  get #isTight(): boolean {
    return (
      this.#waitingSize >= MAX_WAITING / 2 ||
      [this.#reader.window, this.#replaying].some((window) => (window?.size ?? 0) >= MAX_WINDOW / 2)
    )
  }

  async #setBehind(line: Line): Promise<void> {
    while (line.waiting.length > 0 && this.#isTight && !this.#isFull && !this.#isHalted) {
      const { id, at, message, done } = line.waiting[0]!
      const letter = { id, line: line.name, message, tries: 0, next: 0, at }
      line.aside.push(this.#known(await this.#store(() => this.#aside.put(letter))))
      line.waiting.shift()
      done()
    }
  }

  async #bury({ next: _, ...letter }: Parameters<DeadLetters['add']>[0]): Promise<void> {
    this.#dropped += await this.#store(() => this.#dead.add(letter))
    this.#changed()
  }

  #waitAfter(tries: number, { retryAfter }: { readonly retryAfter?: number }): number | undefined {
    return waitAfter(tries, this.delivery.webhooks.retriesMs, retryAfter === undefined ? {} : { retryAfter })
  }

  // whether new events are sent

  get #isDown(): boolean {
    return this.#failures >= DOWN_AFTER
  }

  get #isFull(): boolean {
    return this.#asideIds.size >= MAX_ASIDE
  }

  #mayBegin(line: Line): boolean {
    if (!this.#isFull) {
      if (!this.#isDown) return true
      const now = Date.now()
      if (now >= this.#probeAt) {
        const [firstWait = 0] = this.delivery.webhooks.retriesMs
        this.#probeAt = now + probeAfter(this.#failures - DOWN_AFTER, firstWait)
        return true
      }
      this.#probeLater()
    }
    this.#held.add(line)
    return false
  }

  /** Lines that were held look again; while the endpoint is down one of them gets through. */
  #letBegin(): void {
    if (this.#isFull) return
    for (const line of this.#held) {
      if (this.#isDown && Date.now() < this.#probeAt) return this.#probeLater()
      this.#held.delete(line)
      this.#kick(line)
    }
  }

  #probeLater(): void {
    this.#probeTimer ??= setTimeout(
      () => {
        this.#probeTimer = undefined
        this.#letBegin()
      },
      Math.max(this.#probeAt - Date.now(), 1),
    ).unref()
  }

  /** The endpoint takes events again, or is another one: what is aside need not wait any longer. */
  #recover(): void {
    this.#failures = 0
    this.#probeAt = 0
    const now = Date.now()
    for (const line of this.#lines.values()) {
      if (line.aside[0] === undefined) continue
      line.aside[0].next = Math.min(line.aside[0].next, now)
      this.#kick(line)
    }
    this.#letBegin()
  }

  // sending

  async #send(id: string, message: HookMessage): Promise<Outcome> {
    const { signal } = this.#sending
    const { id: hook } = this.stored.hook
    const own = await this.#slots.take('', hook, signal)
    const shared = own && (await this.delivery.slots.take(this.bucket.name, hook, signal))
    try {
      if (shared === undefined || this.#isHalted) return { kind: 'halted' }
      return await this.#post(id, message)
    } finally {
      shared?.()
      own?.()
    }
  }

  async #post(id: string, { body, headers }: HookMessage): Promise<Outcome> {
    const { book, webhooks } = this.delivery
    const { address, hook } = this.stored
    const began = Date.now()
    const secrets = this.format.signed ? book.secrets(this.bucket.name, hook) : []
    const answer = await webhooks.post({
      url: hook.endpoint,
      headers: { ...headers, ...(this.format.signed && signatureHeaders(secrets, id, began, body)) },
      body,
      timeoutMs: Math.min(this.format.timeoutMs ?? Infinity, webhooks.timeoutMs),
      signal: this.#sending.signal,
    })
    if (answer.kind === 'given up') return { kind: 'halted' }
    const now = Date.now()
    const isOk = answer.kind === 'answered' && answer.status >= 200 && answer.status < 300
    const last: HookTry = {
      at: now,
      id,
      ok: isOk,
      ms: now - began,
      ...(answer.kind === 'answered' ? { status: answer.status } : { error: answer.reason }),
    }
    this.#last = last
    this.#changed()
    if (isOk) {
      this.#lastHit = now
      this.#delivered++
      if (this.#isDown) this.#recover()
      this.#failures = 0
      return { kind: 'delivered' }
    }
    if (answer.kind === 'answered' && answer.status === GONE) {
      this.#halt()
      await this.#store(() =>
        book.disable(this.bucket, { address, hook }, 'the endpoint answered 410 Gone', { by: BY }),
      )
      return { kind: 'halted' }
    }
    this.#failures++
    const retryAfter = answer.kind === 'answered' ? answer.retryAfter : undefined
    return { kind: 'failed', last, ...(retryAfter !== undefined && { retryAfter }) }
  }

  // storing

  /** Again until the store has answered. @throws what is not its absence */
  async #store<Result>(run: () => Promise<Result>): Promise<Result> {
    for (;;) {
      try {
        return await run()
      } catch (error) {
        if (!isKv4Error(error, 'store_unavailable') && !isKv4Error(error, 'overloaded')) throw error
        if (this.#sending.signal.aborted) throw error
        await new Promise((resolve) => setTimeout(resolve, STORE_RETRY_MS))
      }
    }
  }

  #changed(): void {
    if (this.#isHalted || this.#flushTimer !== undefined) return
    this.#flushTimer = setTimeout(() => {
      this.#flushTimer = undefined
      this.#track(this.#write())
    }, FLUSH_MS)
  }

  /** One at a time; whoever asks while one is under way shares the next with the others. @throws Fenced */
  #write(): Promise<void> {
    if (this.#nextWrite !== undefined) return this.#nextWrite
    const write = this.#flushing.then(() => {
      this.#nextWrite = undefined
      this.#passed = 0
      return this.#store(() =>
        this.#progress.write({
          ...this.#reader.window.reached,
          delivered: this.#delivered,
          dropped: this.#dropped,
          ...(this.#last !== undefined && { last: this.#last }),
          ...(this.#lastHit !== undefined && { lastHit: this.#lastHit }),
          ...(this.#replayed !== undefined && { replayed: this.#replayed }),
        }),
      )
    })
    this.#nextWrite = write
    this.#flushing = write.catch(() => undefined)
    return write
  }

  // jobs

  async #workJobs(): Promise<void> {
    const { id } = this.stored.hook
    while (this.#hasJobs && !this.#isHalted) {
      this.#hasJobs = false
      for (;;) {
        const [next] = await this.#store(() => jobsOf(this.bucket, id, { consistent: true }))
        if (next === undefined || this.#isHalted) break
        const isDone =
          next.job.kind === 'replay' ? await this.#replay(next.key, next.job) : await this.#resend(next.job)
        if (!isDone) return
        await this.#store(() => this.bucket.remove(addressIn(jobsPlace(id), next.key), { by: BY }))
      }
    }
  }

  /** false: it was interrupted, and goes on where it is. */
  async #replay(key: Key, job: ReplayJob): Promise<boolean> {
    const window = new Window(job.reached ?? { cursor: '', done: [], at: 0 })
    this.#replaying = window
    const reader = new Reader({
      bucket: this.bucket,
      hook: this.stored.hook,
      window,
      signal: this.#reading.signal,
      from: job.from,
      to: job.to,
      isOnce: true,
      room: async () => {
        await this.#room()
        while (reader.window.size >= MAX_WINDOW && !this.#isHalted)
          await new Promise<void>((resolve) => this.#roomWanted.add(resolve))
      },
      offer: (event, id, its) => {
        sent++
        this.#offer(event, id, its)
      },
      onBackgroundError: this.delivery.onBackgroundError,
    })
    let { sent } = job
    const note = async () => {
      const value = { ...job, sent: sent - reader.window.size, reached: reader.window.reached }
      await this.#store(() =>
        this.bucket.put(addressIn(jobsPlace(this.stored.hook.id), key), value as unknown as Json, {
          by: BY,
          expect: 'present',
        }),
      )
    }
    let isRead = false
    const reading = reader.run().finally(() => (isRead = true))
    this.#track(reading)
    while (!this.#isHalted && !(isRead && reader.window.size === 0)) {
      await new Promise((resolve) => setTimeout(resolve, FLUSH_MS))
      await note()
    }
    this.#replaying = undefined
    if (!isRead || reader.window.size > 0 || this.#isHalted) return false
    this.#replayed = { from: job.from, to: job.to, sent, at: Date.now() }
    await this.#write()
    return true
  }

  async #resend({ ids }: ResendJob): Promise<boolean> {
    for await (const { key, letter } of this.#dead.take(ids)) {
      if (this.#isHalted) return false
      const line = this.#line(letter.line)
      const again = { ...letter, tries: 0, next: Date.now() }
      line.aside.push(this.#known(await this.#store(() => this.#aside.put(again))))
      await this.#store(() => this.#dead.remove(key))
      this.#kick(line)
    }
    return true
  }
}
