import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PinnedProcess } from './pinned-process'

/** One HTTP request as bytes on the wire. */
export interface LoadRequest {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface LoadResult {
  readonly perSecond: number
  readonly cpuMicros: number
  /** Answers that were not 2xx, or connections that broke. */
  readonly failures: number
}

const HAS_WRK = (() => {
  try {
    execFileSync('wrk', ['-v'], { stdio: 'ignore' })
    return true
  } catch (error) {
    // wrk -v ends with 1.
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
})()

export const DRIVER = HAS_WRK
  ? 'wrk'
  : 'the built-in client (slower than wrk: ratios to bare node:http look better)'

function wire({ method, path, headers = {}, body }: LoadRequest): string {
  const length =
    body === undefined
      ? ''
      : `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n${more.join('')}${length}\r\n${body ?? ''}`
}

/** Sends the requests round and round over keep-alive connections, one at a time on each. */
export async function load(
  target: PinnedProcess,
  requests: readonly LoadRequest[],
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<LoadResult> {
  const texts = requests.map(wire)
  const run = HAS_WRK ? wrk : builtIn
  await run(target.port, texts, connections, seconds / 2)
  const cpu = target.cpuMicros()
  const { answers, failures, elapsed } = await run(target.port, texts, connections, seconds)
  return {
    perSecond: answers / elapsed,
    cpuMicros: (target.cpuMicros() - cpu) / answers,
    failures,
  }
}

interface Driven {
  readonly answers: number
  readonly failures: number
  readonly elapsed: number
}

function wrk(port: number, texts: readonly string[], connections: number, seconds: number): Promise<Driven> {
  const directory = mkdtempSync(join(tmpdir(), 'kv4-bench-wrk-'))
  const script = join(directory, 'requests.lua')
  writeFileSync(
    script,
    `local r = {\n${texts.map((text) => JSON.stringify(text).replaceAll('\\u0000', '')).join(',\n')}\n}
local i = 0
request = function() i = i % #r + 1; return r[i] end
done = function(summary)
  local e = summary.errors
  io.write(string.format("answers %d failures %d micros %d\\n", summary.requests, e.status + e.connect + e.read + e.write + e.timeout, summary.duration))
end
`,
  )
  return new Promise((resolve, reject) => {
    const args = [
      '-t1',
      `-c${connections}`,
      `-d${Math.max(1, Math.round(seconds))}s`,
      '-s',
      script,
      `http://127.0.0.1:${port}`,
    ]
    execFile('wrk', args, (error, stdout) => {
      rmSync(directory, { recursive: true, force: true })
      const match = /answers (\d+) failures (\d+) micros (\d+)/.exec(stdout)
      if (match === null) reject(error ?? new Error('wrk said: ' + stdout))
      else
        resolve({
          answers: Number(match[1]),
          failures: Number(match[2]),
          elapsed: Number(match[3]) / 1e6,
        })
    })
  })
}

function builtIn(
  port: number,
  texts: readonly string[],
  connections: number,
  seconds: number,
): Promise<Driven> {
  let next = 0
  let answers = 0
  let failures = 0
  const start = performance.now()
  const end = start + seconds * 1000
  const one = () =>
    new Promise<void>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      let pending = ''
      const send = () => {
        if (performance.now() >= end) socket.end()
        else socket.write(texts[next++ % texts.length]!)
      }
      socket.setNoDelay(true).on('connect', send)
      socket.on('data', (chunk) => {
        pending += chunk.toString('latin1')
        const head = pending.indexOf('\r\n\r\n')
        if (head === -1) return
        const length = Number(/content-length: (\d+)/i.exec(pending)?.[1] ?? 0)
        if (pending.length < head + 4 + length) return
        answers++
        if (!pending.startsWith('HTTP/1.1 2')) failures++
        pending = pending.slice(head + 4 + length)
        send()
      })
      socket.on('error', () => failures++)
      socket.on('close', () => resolve())
    })
  return Promise.all(Array.from({ length: connections }, one)).then(() => ({
    answers,
    failures,
    elapsed: (performance.now() - start) / 1000,
  }))
}
