import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Told } from './acknowledgement'

const ROOT = join(__dirname, '..', '..')

export interface WritersRun {
  readonly directory: string
  readonly writers: number
  /** See runWriters. */
  readonly run: number
  /** The script that the process runs: it calls runWriters with its subject. */
  readonly entry: string
  /** Put before node's own command line, e.g. strace with its options. */
  readonly wrapper?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Called with every line of the pipe, also with those that arrive after the process has died. */
  readonly onTold: (told: Told) => void
  /** kill -9 so many ms after the first acknowledgement. Absent: it runs until it ends by itself. */
  readonly killAfter?: number
  /** Ends it when it has not by then, ms. */
  readonly limit: number
}

export interface WritersEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stderr: string
  /** It ran into `limit`. */
  readonly hung: boolean
}

/** Starts the writers' process and reads its acknowledgements until it has died and its pipe is empty. */
export function runWritersProcess(options: WritersRun): Promise<WritersEnd> {
  const { directory, writers, run, entry, wrapper = [], environment = {} } = options
  const command = [
    ...wrapper,
    process.execPath,
    '-r',
    join(ROOT, 'scripts', 'typescript.js'),
    entry,
    directory,
    String(writers),
    String(run),
  ]
  const child = spawn(command[0]!, command.slice(1), {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
    // A group of its own, so that a wrapper and what it wraps end together.
    detached: true,
  })
  const kill = () => {
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // It is gone already.
    }
  }
  return new Promise((resolve, reject) => {
    let stderr = ''
    let hung = false
    let killer: NodeJS.Timeout | undefined
    const limit = setTimeout(() => {
      hung = true
      kill()
    }, options.limit)
    child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const lines = createInterface({ input: child.stdio[3] as Readable })
    lines.on('line', (line) => {
      // The last line may have been cut by the kill; it was not told then.
      if (!line.endsWith(']')) return
      if (killer === undefined && options.killAfter !== undefined)
        killer = setTimeout(kill, options.killAfter)
      options.onTold(JSON.parse(line) as Told)
    })
    child.once('error', reject)
    const ended = new Promise<void>((done) => lines.once('close', done))
    child.once('close', (code, signal) => {
      clearTimeout(limit)
      clearTimeout(killer)
      void ended.then(() => resolve({ code, signal, stderr, hung }))
    })
  })
}
