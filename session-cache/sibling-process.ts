import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { extname, join } from 'node:path'
import type { Downstream } from './downstream'
import type { Session } from './session'
import type { TierLog } from './tier-log'

/** What goes over the line between a relay and the sibling that is its child. */
export type ToSibling =
  | { readonly op: 'changed'; readonly session: Session }
  | { readonly op: 'out'; readonly sessions: readonly Session[] }
  | { readonly op: 'find'; readonly id: number; readonly key: string }

export type FromSibling =
  | { readonly op: 'found'; readonly id: number; readonly session: Session | null }
  /** Sessions that nobody behind the sibling takes. */
  | { readonly op: 'left'; readonly sessions: readonly Session[] }

const RESTART_MS = 500
const KILL_MS = 3000
const BACKLOG = 20_000

/**
 * The sibling as a child process of its relay. It ends with the relay (its line to the parent breaks, whatever way the
 * parent ends) and is started again when it ends before.
 */
export class SiblingProcess implements Downstream {
  #child: ChildProcess | undefined
  #closed = false
  #last = 0
  #waiting = 0
  #again: NodeJS.Timeout | undefined
  readonly #asked = new Map<number, (session: Session | undefined) => void>()

  constructor(
    private readonly configurationFile: string,
    private readonly waitMs: number,
    private readonly log: TierLog,
    /** Takes what nobody behind the sibling takes. */
    private readonly left: (sessions: readonly Session[]) => void,
  ) {
    this.#start()
  }

  changed(session: Session): void {
    this.#send({ op: 'changed', session })
  }

  out(sessions: readonly Session[]): boolean {
    return this.#send({ op: 'out', sessions })
  }

  find(key: string): Promise<Session | undefined> {
    return new Promise((resolve) => {
      const id = ++this.#last
      const answer = (session: Session | undefined) => {
        clearTimeout(timer)
        this.#asked.delete(id)
        resolve(session)
      }
      const timer = setTimeout(() => answer(undefined), this.waitMs)
      this.#asked.set(id, answer)
      if (!this.#send({ op: 'find', id, key })) answer(undefined)
    })
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#again)
    const child = this.#child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    await new Promise<void>((resolve) => {
      const late = setTimeout(() => child.kill('SIGKILL'), KILL_MS)
      child.once('exit', () => {
        clearTimeout(late)
        resolve()
      })
      if (child.connected) child.disconnect()
    })
  }

  #start(): void {
    // As source or as built: the module stands beside this one.
    const module = join(__dirname, 'relay-process' + extname(__filename))
    const child = fork(module, [this.configurationFile], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child = child
    child.on('message', (message) => this.#hear(message as FromSibling))
    child.on('error', (error) => this.log('warn', 'the sibling cannot be reached', { error: error.message }))
    child.on('exit', (code, signal) => {
      for (const answer of [...this.#asked.values()]) answer(undefined)
      if (this.#closed) return
      this.log('warn', 'the sibling ended and is started again', { code, signal })
      this.#again = setTimeout(() => this.#start(), RESTART_MS)
    })
  }

  #hear(message: FromSibling): void {
    switch (message.op) {
      case 'found':
        this.#asked.get(message.id)?.(message.session ?? undefined)
        return
      case 'left':
        this.left(message.sessions)
        return
      default:
        message satisfies never
    }
  }

  #send(message: ToSibling): boolean {
    const child = this.#child
    if (child === undefined || !child.connected || this.#waiting >= BACKLOG) return false
    this.#waiting++
    child.send(message, () => {
      // An error means that the child is gone; it will be started again.
      this.#waiting--
    })
    return true
  }
}
