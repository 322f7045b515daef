import { readFileSync } from 'node:fs'
import { usage } from './failure'

/**
 * The text of `-d`: JSON as it stands there, `@file`, or `-` for standard input. Sent as it is, once it is known to be
 * JSON.
 * @throws CliFailure
 */
export function requestBody(data: string): string {
  const text =
    data === '-' ? readSource(0, 'standard input') : data.startsWith('@') ? readSource(data.slice(1)) : data
  try {
    JSON.parse(text)
  } catch (error) {
    // The text may hold a secret, and the parser's message a part of the text.
    const where = /position \d+(?: \(line \d+ column \d+\))?/.exec(String(error))?.[0]
    throw usage(
      'the body is not JSON' + (where === undefined ? '' : `: at ${where}`),
      `Quote it for the shell: -d '{"k":"name","v":{"a":1}}'; or -d @file, or -d - for standard input.`,
    )
  }
  return text
}

/** A file, or 0 for standard input. @throws CliFailure */
export function readSource(source: string | 0, name: string = String(source)): string {
  try {
    return readFileSync(source, 'utf8')
  } catch (error) {
    throw usage(`${name} cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`)
  }
}
