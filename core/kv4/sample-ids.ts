import { randomInt } from 'node:crypto'

const PROCESS_LENGTH = 8

/**
 * Ids of samples: `<process><sequence>`, so that two processes never make the same, and those of one sort in the order in
 * which they were made. Short, for each is in every index row of its sample.
 */
export class SampleIds {
  #sequence = 0
  // Two that drew the same must also count alike at the same instant in the same series to make the same id.
  readonly #process = randomInt(36 ** PROCESS_LENGTH)
    .toString(36)
    .padStart(PROCESS_LENGTH, '0')

  next(): string {
    const digits = (this.#sequence++).toString(36)
    // A letter for their number, so that they sort without a width to outgrow.
    return this.#process + String.fromCharCode(0x60 + digits.length) + digits
  }
}
