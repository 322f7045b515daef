import { valueOf } from './acknowledgement'
import type { Told } from './acknowledgement'
import type { Subject } from './subject'

/** Every acknowledgement of a directory's life, and the comparison with what is there. */
export class Ledger {
  readonly #versions = new Map<string, Map<number, number | null>>()
  readonly #beats = new Map<string, Map<number, number>>()
  readonly #samples = new Map<string, Map<string, number>>()
  readonly #created = new Set<string>()
  readonly #dropping = new Set<string>()
  readonly #dropped = new Set<string>()
  readonly #problems: string[] = []
  acknowledged = 0

  record(told: Told): void {
    this.acknowledged++
    switch (told[0]) {
      case 'put':
        return this.#once(this.#versions, told[1], told[2], told[3])
      case 'remove':
        return this.#once<number, number | null>(this.#versions, told[1], told[2], null)
      case 'beat':
        return this.#once(this.#beats, told[1], told[2], told[3])
      case 'append':
        return this.#once(this.#samples, told[1], told[2], told[3])
      case 'create':
        this.#created.add(told[1])
        return
      case 'dropping':
        this.#dropping.add(told[1])
        return
      case 'dropped':
        this.#dropped.add(told[1])
        return
      case 'fatal':
        return
    }
  }

  #once<Id, Value>(of: Map<string, Map<Id, Value>>, key: string, id: Id, value: Value): void {
    let known = of.get(key)
    if (known === undefined) of.set(key, (known = new Map<Id, Value>()))
    if (known.has(id)) this.#problems.push(`${key} ${String(id)} was acknowledged twice`)
    known.set(id, value)
  }

  /** What was lost, torn or doubled, and what contradicts within the data. */
  async compare(subject: Subject): Promise<string[]> {
    const problems = [...this.#problems, ...(await subject.problems())]
    for (const [key, acknowledged] of this.#versions) {
      const history = await subject.history(key)
      for (const [i, { n }] of history.entries())
        if (n !== i + 1) {
          problems.push(`${key}: version ${i + 1} is missing, ${n} is there`)
          break
        }
      for (const [n, number] of acknowledged) {
        const found = history[n - 1]
        const value = number === null ? null : valueOf(number)
        if (found === undefined) problems.push(`${key}: acknowledged version ${n} is lost`)
        else if (found.value !== value) problems.push(`${key}: version ${n} has another value`)
      }
    }
    for (const [key, acknowledged] of this.#beats) {
      const last = Math.max(...acknowledged.keys())
      const found = await subject.current(key)
      if (found === undefined || found.n < last) problems.push(`${key}: acknowledged entry ${last} is lost`)
      else {
        const number = acknowledged.get(found.n)
        if (number !== undefined && found.value !== valueOf(number))
          problems.push(`${key}: entry ${found.n} has another value`)
      }
    }
    for (const [key, acknowledged] of this.#samples) {
      const found = await subject.samples(key)
      for (const [id, number] of acknowledged)
        if (found.get(id) !== valueOf(number)) problems.push(`${key}: acknowledged sample ${id} is lost`)
    }
    const buckets = await subject.buckets()
    for (const bucket of this.#created)
      if (!this.#dropping.has(bucket) && !buckets.has(bucket)) problems.push(`bucket ${bucket} is lost`)
    for (const bucket of this.#dropped)
      if (buckets.has(bucket)) problems.push(`dropped bucket ${bucket} is back`)
    return problems
  }
}
