import type { Session } from './session'

interface Question {
  /** Who has not answered yet. */
  readonly left: Set<object>
  /** The newest that was found so far. */
  found: Session | undefined
  /** One was found: the others are not waited for much longer. */
  readonly settle: () => void
  readonly end: () => void
}

/** Lookups that wait for others to say whether they hold a session. */
export class Questions {
  readonly #open = new Map<string, Question>()
  /** Who has ever answered; the clients of the original do not. */
  readonly #answering = new WeakSet<object>()
  #last = 0

  constructor(private readonly waitMs: number) {}

  /**
   * `send` asks one of `asked` and gives the number that its answer has to carry. Resolves with the newest session that
   * is found until `settleMs` after the first one (0: with the first), or when all have answered that ever did, or after the
   * time that one waits for those who never do.
   */
  ask<Who extends object>(
    key: string,
    asked: readonly Who[],
    send: (who: Who, requester: number) => boolean,
    settleMs = 0,
  ): Promise<Session | undefined> {
    if (asked.length === 0) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      // From 1,000,000 on: clients number themselves, and theirs are other numbers in practice.
      this.#last = (this.#last % 1_000_000_000) + 1
      const requester = 1_000_000 + this.#last
      const id = idOf(key, requester)
      const question: Question = {
        left: new Set(asked),
        found: undefined,
        settle: () => {
          const waits = settleMs > 0 && [...question.left].some((who) => this.#answering.has(who))
          if (!waits) question.end()
          else settling ??= setTimeout(question.end, settleMs)
        },
        end: () => {
          clearTimeout(timer)
          clearTimeout(settling)
          this.#open.delete(id)
          resolve(question.found)
        },
      }
      let settling: NodeJS.Timeout | undefined
      const timer = setTimeout(question.end, this.waitMs)
      this.#open.set(id, question)
      for (const who of asked) if (!send(who, requester)) this.#answered(question, who)
    })
  }

  /** Somebody who was asked answers. */
  heard(key: string, requester: number, who: object, session: Session | undefined): void {
    const question = this.#open.get(idOf(key, requester))
    if (question === undefined) return
    this.#answering.add(who)
    if (session !== undefined && session.at >= (question.found?.at ?? -Infinity)) question.found = session
    this.#answered(question, who)
  }

  /** Somebody left, and will not answer. */
  gone(who: object): void {
    for (const question of [...this.#open.values()]) if (question.left.has(who)) this.#answered(question, who)
  }

  #answered(question: Question, who: object): void {
    question.left.delete(who)
    if (question.left.size === 0) question.end()
    else if (question.found !== undefined) question.settle()
  }
}

function idOf(key: string, requester: number): string {
  return `${requester} ${key}`
}
