import type { Session } from './session'

interface Question {
  /** Who has not yet said that it has no such session. */
  readonly left: Set<unknown>
  answer(session: Session | undefined): void
}

/** Lookups that wait for others to say whether they hold a session. */
export class Questions {
  readonly #open = new Map<string, Question>()
  #last = 0

  constructor(private readonly waitMs: number) {}

  /**
   * `send` asks one of `asked` and gives the number that its answer has to carry. Resolves with the first session that
   * is found, or when all have said no, or after the time that one waits for those who never say no.
   */
  ask<Who>(
    key: string,
    asked: readonly Who[],
    send: (who: Who, requester: number) => boolean,
  ): Promise<Session | undefined> {
    if (asked.length === 0) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      // From 1,000,000 on: clients number themselves, and theirs are other numbers in practice.
      this.#last = (this.#last % 1_000_000_000) + 1
      const requester = 1_000_000 + this.#last
      const id = idOf(key, requester)
      const answer = (session: Session | undefined) => {
        clearTimeout(timer)
        this.#open.delete(id)
        resolve(session)
      }
      const timer = setTimeout(() => answer(undefined), this.waitMs)
      const question: Question = { left: new Set(asked), answer }
      this.#open.set(id, question)
      for (const who of asked) if (!send(who, requester)) this.#no(question, who)
    })
  }

  /** Somebody who was asked answers. */
  heard(key: string, requester: number, who: unknown, session: Session | undefined): void {
    const question = this.#open.get(idOf(key, requester))
    if (question === undefined) return
    if (session !== undefined) question.answer(session)
    else this.#no(question, who)
  }

  /** Somebody left, and will not answer. */
  gone(who: unknown): void {
    for (const question of [...this.#open.values()]) if (question.left.has(who)) this.#no(question, who)
  }

  #no(question: Question, who: unknown): void {
    question.left.delete(who)
    if (question.left.size === 0) question.answer(undefined)
  }
}

function idOf(key: string, requester: number): string {
  return `${requester} ${key}`
}
