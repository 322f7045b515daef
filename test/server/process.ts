import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'

const MAIN = join(__dirname, '../../dist/server/main.js')

/** `serve` in a process of its own, as built by `npm run build`. */
export interface ServerProcess {
  readonly child: ChildProcess
  readonly output: () => string
  readonly errors: () => string
  /** The port, once it listens. */
  readonly port: Promise<number>
  readonly exit: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

export function startProcess(env: Readonly<Record<string, string>>, ...args: string[]): ServerProcess {
  const script = `require(${JSON.stringify(MAIN)}).serve(process.argv.slice(1))`
  const child = spawn(process.execPath, ['-e', script, '--', ...args], {
    env: { PATH: process.env['PATH'], KV4_PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let errors = ''
  const exit = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }))
  })
  const port = new Promise<number>((resolve, reject) => {
    child.stdout.on('data', (chunk) => {
      output += String(chunk)
      const match = /"url":"http:\/\/[^"]*:(\d+)"/.exec(output)
      if (match) resolve(Number(match[1]))
    })
    child.stderr.on('data', (chunk) => (errors += String(chunk)))
    void exit.then(() => reject(new Error('it ended: ' + errors + output)))
  })
  // Some tests only want the exit.
  port.catch(() => undefined)
  return { child, port, exit, output: () => output, errors: () => errors }
}
