/**
 * Ids of samples: `<node>-<start of the process>-<sequence>`, so that two nodes, or one that was restarted, never make
 * the same, and those of one process sort in the order in which they were made.
 */
export class SampleIds {
  #sequence = 0
  readonly #prefix: string

  constructor(node: string, startedAt: number) {
    // A node's name is free text; what a store's key cannot hold is replaced.
    const name = node.replace(/[^A-Za-z0-9.]/g, '.').slice(0, 64)
    const chance = Math.floor(Math.random() * 36 ** 4)
    this.#prefix = `${name}-${startedAt.toString(36)}${chance.toString(36).padStart(4, '0')}-`
  }

  next(): string {
    return this.#prefix + (this.#sequence++).toString(36).padStart(8, '0')
  }
}
