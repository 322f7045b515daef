/** One call of a client, between two numbers of a common clock that no two events share. */
export interface Operation<Input, Output> {
  readonly input: Input
  /** undefined: no answer came, so it may have happened at any time since, or never. */
  readonly output: Output | undefined
  readonly invokedAt: number
  /** Infinity where no answer came. */
  readonly returnedAt: number
}

/** What one object does when nobody else uses it. */
export interface SequentialModel<State, Input, Output> {
  readonly initial: State
  /** Equal texts for equal states. */
  print(state: State): string
  /** The state after the call; undefined: it would not have had that output. Without an output any is right. */
  apply(state: State, input: Input, output: Output | undefined): State | undefined
  /**
   * Equal names for inputs of which nobody can tell, by the outputs of this history, which of them took effect.
   * undefined: it is unlike any other.
   */
  alike?(history: readonly Operation<Input, Output>[]): (input: Input) => string | undefined
}

export type Verdict<Input, Output> =
  | { readonly linearizable: true }
  /** `stuck`: the call that the furthest of all attempts could not fit in before its answer came. */
  | { readonly linearizable: false; readonly stuck: Operation<Input, Output> }

interface Node {
  /** Index of its operation, in the order of invocations. */
  readonly operation: number
  readonly kind: 'call' | 'return'
  readonly at: number
  before: Node | undefined
  after: Node | undefined
  /** Of a call. */
  answer?: Node
}

/** A step of the search, to go back to: the state before it, and what was taken. */
type Step<State> = { readonly state: State } & (
  | { readonly call: Node }
  /** A place in the list of the calls that were not answered. */
  | { readonly open: number }
)

/**
 * Whether a history of one object can be put into an order that the model allows, each call taking effect at one
 * moment between its beginning and its answer. The search of Wing and Gong, with Lowe's memory of what was tried: a
 * configuration (which calls have taken effect, and the state) is looked at once.
 *
 * Events are a list in order of time. The search takes any call that comes before the first answer in the list, lifts
 * it out with its answer, and begins anew at the front; when it comes to an answer whose call could not be taken, it
 * tries the calls that were never answered, and then goes back. Those come last, only where they change something, and
 * of those that are alike the first: they stay open to the end, and each of them would double what there is to be tried.
 */
export function checkLinearizable<State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: SequentialModel<State, Input, Output>,
): Verdict<Input, Output> {
  const operations = [...history].sort((a, b) => a.invokedAt - b.invokedAt)
  const front = eventsOf(operations)
  const alike = model.alike?.(history)
  const taken = new Taken(
    operations.map(({ returnedAt, input }, i) =>
      returnedAt === Infinity ? (alike?.(input) ?? String(i)) : undefined,
    ),
  )
  const tried = new Set<string>()
  const path: Step<State>[] = []
  let state = model.initial
  let stuck = 0
  let node = front.after
  let open = 0

  /** Whether the call may be next, and leads to what was not tried yet; then it is taken. */
  const take = (operation: number): boolean => {
    const { input, output } = operations[operation]!
    const next = model.apply(state, input, output)
    if (next === undefined) return false
    if (output === undefined && model.print(next) === model.print(state)) return false
    taken.add(operation)
    const configuration = `${taken.print()} ${model.print(next)}`
    if (tried.has(configuration)) {
      taken.remove(operation)
      return false
    }
    tried.add(configuration)
    state = next
    return true
  }

  while (taken.unanswered > 0) {
    const before = state
    if (node!.kind === 'call') {
      if (take(node!.operation)) {
        path.push({ state: before, call: node! })
        lift(node!)
        node = front.after
      } else node = node!.after
      open = 0
      continue
    }
    // An answer, whose call comes before it and could not be taken.
    const candidate = taken.open[open]
    if (candidate !== undefined && operations[candidate]!.invokedAt < node!.at) {
      if (taken.isNext(open) && take(candidate)) {
        path.push({ state: before, open })
        node = front.after
        open = 0
      } else open++
      continue
    }
    stuck = Math.max(stuck, node!.operation)
    const last = path.pop()
    if (last === undefined) return { linearizable: false, stuck: operations[stuck]! }
    state = last.state
    if ('call' in last) {
      taken.remove(last.call.operation)
      restore(last.call)
      node = last.call.after
      open = 0
    } else {
      taken.remove(taken.open[last.open]!)
      node = firstAnswer(front)
      open = last.open + 1
    }
  }
  return { linearizable: true }
}

function firstAnswer(front: Node): Node {
  let node = front.after!
  while (node.kind === 'call') node = node.after!
  return node
}

/** Of the calls that were answered. */
function eventsOf(operations: readonly Operation<unknown, unknown>[]): Node {
  const events: Node[] = []
  operations.forEach(({ invokedAt, returnedAt }, operation) => {
    if (returnedAt === Infinity) return
    const links = { operation, before: undefined, after: undefined }
    const answer: Node = { ...links, kind: 'return', at: returnedAt }
    events.push({ ...links, kind: 'call', at: invokedAt, answer }, answer)
  })
  events.sort((a, b) => a.at - b.at)
  const front: Node = { operation: -1, kind: 'call', at: -Infinity, before: undefined, after: undefined }
  let last = front
  for (const node of events) {
    last.after = node
    node.before = last
    last = node
  }
  return front
}

function lift(call: Node): void {
  for (const node of [call, call.answer]) {
    if (node === undefined) continue
    node.before!.after = node.after
    if (node.after !== undefined) node.after.before = node.before
  }
}

/** In the reverse order of `lift`, so that the neighbours are there again. */
function restore(call: Node): void {
  for (const node of [call.answer, call]) {
    if (node === undefined) continue
    node.before!.after = node
    if (node.after !== undefined) node.after.before = node
  }
}

/** Which calls have taken effect, printed so that what all configurations of a moment share takes no room. */
class Taken {
  readonly #taken: boolean[]
  /** Every answered call before this one is taken. */
  #low = 0
  #high = -1
  /** The calls that were not answered. */
  readonly open: readonly number[]
  /** How many of those that are alike are taken: always the first of them. */
  readonly #counts = new Map<string, number>()
  /** The place of each among those that are alike. */
  readonly #places: readonly number[]
  /** Answered calls that are not taken. */
  unanswered: number

  /** @param names of the calls that were not answered, the same for those that are alike; undefined: it was answered */
  constructor(private readonly names: readonly (string | undefined)[]) {
    this.#taken = names.map(() => false)
    this.open = names.flatMap((name, i) => (name === undefined ? [] : [i]))
    const seen = new Map<string, number>()
    this.#places = this.open.map((operation) => {
      const name = names[operation]!
      const place = seen.get(name) ?? 0
      seen.set(name, place + 1)
      return place
    })
    this.unanswered = names.length - this.open.length
  }

  /** Of a place in `open`: it is not taken, and those like it that come before are. */
  isNext(open: number): boolean {
    return this.#places[open] === (this.#counts.get(this.names[this.open[open]!]!) ?? 0)
  }

  add(operation: number): void {
    this.#taken[operation] = true
    if (!this.#count(operation, 1)) this.unanswered--
    this.#high = Math.max(this.#high, operation)
    while (this.#low < this.#taken.length && (this.#taken[this.#low]! || this.names[this.#low] !== undefined))
      this.#low++
  }

  remove(operation: number): void {
    this.#taken[operation] = false
    if (this.#count(operation, -1)) return
    this.unanswered++
    this.#low = Math.min(this.#low, operation)
  }

  /** false: it was answered. */
  #count(operation: number, change: number): boolean {
    const name = this.names[operation]
    if (name === undefined) return false
    const count = (this.#counts.get(name) ?? 0) + change
    if (count === 0) this.#counts.delete(name)
    else this.#counts.set(name, count)
    return true
  }

  print(): string {
    const open = [...this.#counts].map(([name, count]) => `${name}*${count}`).sort()
    const ahead: number[] = []
    for (let i = this.#low + 1; i <= this.#high; i++)
      if (this.#taken[i] && this.names[i] === undefined) ahead.push(i)
    return `${this.#low}+${ahead.join()}?${open.join()}`
  }
}
