import { randomUUID } from 'node:crypto'
import type { Answer, Client, Row } from '../client'
import { seeded } from './random'

export interface RetryCampaign {
  /** The same account by several ways, over connections that break: each attempt takes another one. */
  readonly ways: readonly Client[]
  /** A way that does not break. */
  readonly reader: Client
  readonly requests: number
  readonly seed: number
  /** Default 16. */
  readonly callers?: number
  /** The key of an attempt. Default: one for all attempts at a request. */
  readonly keyOf?: (request: string, attempt: number) => string
  readonly onProgress?: (line: string) => void
  /** Called when every request is answered, before what is there is read. */
  readonly settled?: () => Promise<void>
}

export interface RetryResult {
  readonly requests: number
  /** Attempts that were not answered. */
  readonly unanswered: number
  readonly problems: readonly string[]
}

const KEYS = 8
const PATH = '/_data/retries'
const MOST_ATTEMPTS = 2_000

/**
 * Promise 7 of the whole: callers send each request under an Idempotency-Key until it is answered, and what is there in
 * the end is what each of them asked for, once: every value in the time series, every sample in the count, and every
 * counter as high as it was counted up.
 */
export async function runRetryCampaign(campaign: RetryCampaign): Promise<RetryResult> {
  const { reader, requests, callers = 16, onProgress } = campaign
  const result = { requests: 0, unanswered: 0, problems: [] as string[] }
  const done: { readonly puts: Map<string, string[]>; samples: number } = { puts: new Map(), samples: 0 }
  const left = { requests }
  await Promise.all(
    Array.from({ length: callers }, async (_, caller) => {
      const random = seeded(campaign.seed * 10_007 + caller)
      for (let i = 0; left.requests-- > 0; i++) {
        const request = `${caller}.${i}`
        if (random() < 0.3) {
          await send(campaign, result, random, request, 'POST', '/_stats/retries', { l: 'retries', v: 1 })
          done.samples++
        } else {
          const key = `k${Math.floor(random() * KEYS)}`
          await send(campaign, result, random, request, 'PUT', PATH, { k: key, v: request })
          done.puts.set(key, [...(done.puts.get(key) ?? []), request])
        }
        if (random() < 0.2) {
          // Whoever removes it again finds nothing, so this has an answer of its own.
          await send(campaign, result, random, request, 'PUT', PATH, { k: `gone${request}`, v: 1 })
          const answer = await send(campaign, result, random, request, 'DELETE', `${PATH}?k=gone${request}`)
          if (answer.body.v !== 1)
            result.problems.push(`a removal was answered ${JSON.stringify(answer.body)}`)
        }
        if (++result.requests % 1_000 === 0)
          onProgress?.(`${result.requests} requests, ${result.unanswered} attempts without an answer`)
      }
    }),
  )
  await campaign.settled?.()
  for (const [key, values] of done.puts) {
    const found = await valuesOf(reader, key)
    const counts = new Map<string, number>()
    for (const value of found) counts.set(value, (counts.get(value) ?? 0) + 1)
    for (const value of values) {
      const count = counts.get(value) ?? 0
      if (count !== 1) result.problems.push(`${key}: ${value} was written ${count} times`)
    }
    if (found.length !== values.length)
      result.problems.push(`${key}: ${values.length} puts, ${found.length} versions`)
  }
  const sums = await reader.ok(reader.get<{ readonly count: number }>('/_stats/retries?l=retries'))
  if ((sums.count ?? 0) !== done.samples)
    result.problems.push(`${done.samples} samples, ${sums.count} are counted`)
  return result
}

/** Until it is answered. */
async function send(
  { ways, keyOf = (request) => request }: RetryCampaign,
  result: { unanswered: number },
  random: () => number,
  request: string,
  method: string,
  target: string,
  body?: object,
): Promise<Answer<unknown>> {
  const id = randomUUID()
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const headers = { 'Idempotency-Key': `${id}.${keyOf(request, attempt)}` }
    const way = ways[Math.floor(random() * ways.length)]!
    let answer: Answer<unknown> | undefined
    try {
      answer = await way.call<unknown>(method, target, { headers, ...(body !== undefined && { body }) })
    } catch {
      result.unanswered++
    }
    if (answer !== undefined && (answer.status < 300 || answer.status === 404)) return answer
    if (answer !== undefined && answer.status !== 503 && answer.body.v !== 'idempotency_in_progress')
      throw new Error(`${method} ${target}: ${answer.status} ${JSON.stringify(answer.body)}`)
    await new Promise((resolve) => setTimeout(resolve, 5 + random() * 20))
  }
  throw new Error(`${method} ${target}: no answer after ${MOST_ATTEMPTS} attempts`)
}

async function valuesOf(reader: Client, key: string): Promise<string[]> {
  const values: string[] = []
  let after = ''
  for (;;) {
    const { body } = await reader.get<readonly Row[]>(`${PATH}?k=${key}&time_series=1&consistent=1${after}`)
    for (const [, , value] of body.v) values.push(String(value))
    if (body.next === undefined) return values
    after = `&after=${encodeURIComponent(body.next)}`
  }
}
