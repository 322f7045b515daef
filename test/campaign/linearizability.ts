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
}

export type Verdict<Input, Output> =
  | { readonly linearizable: true }
  /** `stuck`: the call that the furthest of all attempts could not fit in before its answer came. */
  | { readonly linearizable: false; readonly stuck: Operation<Input, Output> }

interface Node {
  /** Index of its operation, in the order of invocations. */
  readonly operation: number
  readonly kind: 'call' | 'return'
  before: Node | undefined
  after: Node | undefined
  /** Of a call that was answered. */
  answer?: Node
}

/**
 * Whether a history of one object can be put into an order that the model allows, each call taking effect at one
 * moment between its beginning and its answer. The search of Wing and Gong, with Lowe's memory of what was tried: a
 * configuration (which calls have taken effect, and the state) is looked at once.
 *
 * Events are a list in order of time. The search takes any call that comes before the first answer in the list, lifts
 * it out with its answer, and begins anew at the front; at an answer, whose call has not been taken, it goes back.
 */
export function checkLinearizable<State, Input, Output>(
  history: readonly Operation<Input, Output>[],
  model: SequentialModel<State, Input, Output>,
): Verdict<Input, Output> {
  const operations = [...history].sort((a, b) => a.invokedAt - b.invokedAt)
  const front = eventsOf(operations)
  const taken = new Taken(operations.map(({ returnedAt }) => returnedAt === Infinity))
  const tried = new Set<string>()
  const path: { readonly node: Node; readonly state: State }[] = []
  let state = model.initial
  let stuck = 0
  let node = front.after
  while (taken.unanswered > 0) {
    if (node!.kind === 'return') {
      stuck = Math.max(stuck, node!.operation)
      const last = path.pop()
      if (last === undefined) return { linearizable: false, stuck: operations[stuck]! }
      state = last.state
      taken.remove(last.node.operation)
      restore(last.node)
      node = last.node.after
      continue
    }
    const { input, output } = operations[node!.operation]!
    const next = model.apply(state, input, output)
    if (next !== undefined) {
      taken.add(node!.operation)
      const configuration = `${taken.print()} ${model.print(next)}`
      if (!tried.has(configuration)) {
        tried.add(configuration)
        path.push({ node: node!, state })
        state = next
        lift(node!)
        node = front.after
        continue
      }
      taken.remove(node!.operation)
    }
    // There is one: some call is not taken, and its answer comes behind it.
    node = node!.after
  }
  return { linearizable: true }
}

function eventsOf(operations: readonly Operation<unknown, unknown>[]): Node {
  const events: { readonly at: number; readonly node: Node }[] = []
  operations.forEach(({ invokedAt, returnedAt }, operation) => {
    const call: Node = { operation, kind: 'call', before: undefined, after: undefined }
    events.push({ at: invokedAt, node: call })
    if (returnedAt === Infinity) return
    call.answer = { operation, kind: 'return', before: undefined, after: undefined }
    events.push({ at: returnedAt, node: call.answer })
  })
  events.sort((a, b) => a.at - b.at)
  const front: Node = { operation: -1, kind: 'call', before: undefined, after: undefined }
  let last = front
  for (const { node } of events) {
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
  readonly #open: readonly number[]
  /** Answered calls that are not taken. */
  unanswered: number

  constructor(private readonly isOpen: readonly boolean[]) {
    this.#taken = isOpen.map(() => false)
    this.#open = isOpen.flatMap((open, i) => (open ? [i] : []))
    this.unanswered = isOpen.length - this.#open.length
  }

  add(operation: number): void {
    this.#taken[operation] = true
    if (!this.isOpen[operation]) this.unanswered--
    this.#high = Math.max(this.#high, operation)
    while (this.#low < this.#taken.length && (this.#taken[this.#low]! || this.isOpen[this.#low]!)) this.#low++
  }

  remove(operation: number): void {
    this.#taken[operation] = false
    if (!this.isOpen[operation]) {
      this.unanswered++
      this.#low = Math.min(this.#low, operation)
    }
  }

  print(): string {
    const open: number[] = []
    for (const operation of this.#open) if (this.#taken[operation]) open.push(operation)
    const ahead: number[] = []
    for (let i = this.#low + 1; i <= this.#high; i++) if (this.#taken[i] && !this.isOpen[i]) ahead.push(i)
    return `${this.#low}+${ahead.join()}?${open.join()}`
  }
}
