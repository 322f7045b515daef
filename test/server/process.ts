import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'

const ROOT = join(__dirname, '../..')
const MAIN = join(ROOT, 'dist/server/main.js')
const KV4 = join(ROOT, 'dist/cli/main.js')

/** A server in a process of its own. */
export interface ServerProcess {
  readonly child: ChildProcess
  readonly output: () => string
  readonly errors: () => string
  /** The port, once it listens. */
  readonly port: Promise<number>
  readonly exit: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

/** `serve` of server/, as built by `npm run build`. */
export function startProcess(env: Readonly<Record<string, string>>, ...args: string[]): ServerProcess {
  const script = `require(${JSON.stringify(MAIN)}).serve(process.argv.slice(1))`
  return run(['-e', script, '--', ...args], env)
}

/** `kv4 serve`, as users run it, as built by `npm run build`. */
export function startServe(env: Readonly<Record<string, string>>): ServerProcess {
  return run([KV4, 'serve'], env)
}

/** A script of the tests that starts a server in a way of its own. */
export function startScript(script: string, env: Readonly<Record<string, string>>): ServerProcess {
  return run(['-r', join(ROOT, 'scripts/typescript.js'), script], env)
}

function run(args: readonly string[], env: Readonly<Record<string, string>>): ServerProcess {
  const child = spawn(process.execPath, args, {
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
