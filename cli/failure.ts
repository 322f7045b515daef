/** How the process ends; kv4 --help says the same. */
export const EXIT = { ok: 0, refused: 1, usage: 2, unreachable: 3 } as const
export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Something that the user is told in a clear line, without a stack. */
export class CliFailure extends Error {
  constructor(
    readonly exit: Exclude<ExitCode, 0>,
    message: string,
    /** What to do about it: a line of its own. */
    readonly remedy?: string,
  ) {
    super(message)
    this.name = 'CliFailure'
  }
}

export function usage(message: string, remedy?: string): CliFailure {
  return new CliFailure(EXIT.usage, message, remedy)
}
