import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** A node process on a core of its own, which says `ready <port>` on a line when it can be asked. */
export interface PinnedProcess {
  readonly port: number
  readonly pid: number
  /** CPU time used so far, all threads, in µs (to 10 ms). */
  cpuMicros(): number
  stop(): Promise<void>
}

const HAS_TASKSET = (() => {
  try {
    execFileSync('taskset', ['-p', String(process.pid)], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})()

/** The core that what is measured runs on; the driver has the others. */
export const MEASURED_CORE = 0

/** `core`: one, or a list such as `0-3`. */
export function pinned(core: number | string, command: string, args: readonly string[]): [string, string[]] {
  return HAS_TASKSET ? ['taskset', ['-c', String(core), command, ...args]] : [command, [...args]]
}

/** Takes this process, and what it starts from now on without a core of its own, off the measured core. */
export function leaveMeasuredCore(): void {
  if (HAS_TASKSET) execFileSync('taskset', ['-ap', '-c', '1', String(process.pid)], { stdio: 'ignore' })
}

/** CPU time that a process has used, all threads, in µs (to 10 ms). */
export function cpuMicrosOf(pid: number): number {
  // Fields 14 and 15, utime and stime in ticks of 10 ms, counted from behind the command's name.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

/** What `npm start` and the Dockerfile give, for every measured process alike. */
export const NODE_FLAGS: readonly string[] = (process.env['BENCH_NODE_FLAGS'] ?? '--max-semi-space-size=64')
  .split(' ')
  .filter((flag) => flag !== '')

export async function startPinned(
  script: string,
  args: readonly string[] = [],
  env: Readonly<Record<string, string>> = {},
): Promise<PinnedProcess> {
  const [command, all] = pinned(MEASURED_CORE, process.execPath, [...NODE_FLAGS, script, ...args])
  const child = spawn(command, all, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exit = new Promise<void>((resolve) => child.on('close', () => resolve()))
  const port = await new Promise<number>((resolve, reject) => {
    let output = ''
    child.stdout.on('data', (chunk) => {
      output += String(chunk)
      const match = /^ready (\d+)$/m.exec(output)
      if (match) resolve(Number(match[1]))
    })
    void exit.then(() => reject(new Error(`${script} ended before it was ready:\n${output}`)))
  })
  const pid = child.pid!
  return {
    port,
    pid,
    cpuMicros: () => cpuMicrosOf(pid),
    async stop() {
      child.kill('SIGTERM')
      await exit
    },
  }
}
