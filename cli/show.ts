import { CATALOGUE } from '../core'
import type { ErrorCode } from '../core'
import type { Answer } from './client'

export interface ShowOptions {
  /** On one line, as it came, also on a terminal. */
  readonly json?: boolean
  /** The value of `v` alone, a string without its quotes; nothing when the answer is an error. */
  readonly raw?: boolean
}

/** The answer on standard output; of an error the code, its meaning and its remedy on standard error. */
export function show(answer: Answer, { json = false, raw = false }: ShowOptions): void {
  const pretty = !json && process.stdout.isTTY
  const { v } = answer.envelope
  if (!raw) print(pretty ? JSON.stringify(answer.envelope, null, 2) : answer.text)
  else if (answer.ok) print(typeof v === 'string' ? v : JSON.stringify(v ?? null, null, pretty ? 2 : 0))
  if (!answer.ok) process.stderr.write(explain(answer) + '\n')
}

function print(text: string): void {
  process.stdout.write(text + '\n')
}

/** `kv4: <code>: what is wrong (what the server said besides)`, then the remedy. */
export function explain({ envelope, retryAfter }: Answer): string {
  const code = String(envelope['v'])
  const known = Object.hasOwn(CATALOGUE, code) ? CATALOGUE[code as ErrorCode] : undefined
  const details =
    typeof envelope['d'] === 'object' && envelope['d'] !== null ? Object.entries(envelope['d']) : []
  if (retryAfter !== undefined) details.push(['retry after', `${retryAfter} s`])
  const aside = details.map(
    ([name, value]) =>
      `${name}: ${typeof value === 'string' && value !== '' ? value : JSON.stringify(value)}`,
  )
  const first = `kv4: ${code}${known === undefined ? '' : `: ${known.text}`}`
  const lines = [aside.length === 0 ? first : `${first} (${aside.join(', ')})`]
  if (known !== undefined) lines.push(`  ${known.remedy}`)
  return lines.join('\n')
}
