import type { ChildProcess } from 'node:child_process'
import { fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'

const ROOT = join(__dirname, '../..')
const running = new Set<ChildProcess>()

/** How a process differs from the others. */
export interface Skewed {
  /** Its clock is so much ahead, ms. */
  readonly skewMs?: number
}

function start(module: string, args: readonly string[], { skewMs = 0 }: Skewed = {}): ChildProcess {
  const child = fork(join(ROOT, module), args, {
    cwd: ROOT,
    execArgv: ['-r', join(ROOT, 'scripts/typescript.js'), '-r', join(__dirname, 'skewed-clock.ts')],
    env: { ...process.env, SKEW_MS: String(skewMs) },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** A tier in a process of its own. */
export interface TierProcess {
  readonly child: ChildProcess
  /** The fields of the first line of its log that has this message and these fields. */
  said(message: string, fields?: Record<string, unknown>, after?: number): Promise<Record<string, unknown>>
  log(): readonly Record<string, unknown>[]
}

export function startTierProcess(
  directory: string,
  name: string,
  configuration: unknown,
  skewed?: Skewed,
): TierProcess {
  const file = join(directory, name)
  writeFileSync(file, JSON.stringify(configuration))
  const child = start('session-cache/relay-process.ts', [file], skewed)
  const lines: Record<string, unknown>[] = []
  let rest = ''
  let errors = ''
  const waiting = new Set<() => void>()
  child.stdout!.on('data', (chunk) => {
    rest += String(chunk)
    const parts = rest.split('\n')
    rest = parts.pop()!
    for (const part of parts) lines.push(JSON.parse(part) as Record<string, unknown>)
    for (const each of waiting) each()
  })
  child.stderr!.on('data', (chunk) => (errors += String(chunk)))
  return {
    child,
    log: () => lines,
    said: (message, fields = {}, after = 0) =>
      new Promise((resolve, reject) => {
        const look = () => {
          const found = lines
            .slice(after)
            .find(
              (line) =>
                line['msg'] === message &&
                Object.entries(fields).every(([name, value]) => line[name] === value),
            )
          if (found === undefined) return
          waiting.delete(look)
          clearTimeout(timer)
          resolve(found)
        }
        const timer = setTimeout(() => {
          waiting.delete(look)
          reject(new Error(`${name} never said "${message}": ${JSON.stringify(lines)} ${errors}`))
        }, 10_000)
        waiting.add(look)
        look()
      }),
  }
}

/** A process of a front-end box, with a SessionCacheManager in it. */
export interface BoxProcess {
  readonly child: ChildProcess
  /** Calls a method of the manager there. */
  call<T = unknown>(method: string, ...args: unknown[]): Promise<T>
  get(key: string): Promise<string | false>
  set(key: string, value: unknown): Promise<string>
}

export async function startBoxProcess(lru: object, line?: object, skewed?: Skewed): Promise<BoxProcess> {
  const child = start('test/session-cache/box-process.ts', [JSON.stringify([lru, line])], skewed)
  let errors = ''
  child.stderr!.on('data', (chunk) => (errors += String(chunk)))
  child.stdout!.resume()
  const open = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  let last = 0
  const ready = new Promise<void>((resolve) => {
    child.on('message', (message) => {
      const { id, value, error } = message as { id: number; value: unknown; error?: string }
      if (id === 0) resolve()
      else if (error === undefined) open.get(id)!.resolve(value)
      else open.get(id)!.reject(new Error(error))
      open.delete(id)
    })
  })
  child.once('exit', (code, signal) => {
    for (const call of open.values()) call.reject(new Error(`the box ended: ${code} ${signal} ${errors}`))
  })
  await Promise.race([
    ready,
    new Promise((_, reject) =>
      child.once('exit', () => reject(new Error('the box did not start: ' + errors))),
    ),
  ])
  const call = <T>(method: string, ...args: unknown[]) =>
    new Promise<T>((resolve, reject) => {
      const id = ++last
      open.set(id, { resolve: resolve, reject })
      child.send({ id, method, args })
    })
  return { child, call, get: (key) => call('get', key), set: (key, value) => call('set', key, value) }
}

export async function kill(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await ended
}

/** All that were started and still run. */
export async function endProcesses(): Promise<void> {
  await Promise.all([...running].map((child) => kill(child, 'SIGTERM')))
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
