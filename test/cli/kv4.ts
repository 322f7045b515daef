import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const MAIN = join(__dirname, '../../dist/cli/main.js')

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  readonly stdout: () => string
  readonly stderr: () => string
  readonly ended: Promise<Ended>
}

/** `kv4` as users run it, with a home directory of its own. */
export class Kv4 {
  private constructor(readonly home: string) {}

  static async make(): Promise<Kv4> {
    if (!existsSync(MAIN)) throw new Error('dist/ is missing: npm run build')
    return new Kv4(await mkdtemp(join(tmpdir(), 'kv4-cli-')))
  }

  start(args: readonly string[], env: Readonly<Record<string, string>> = {}, stdin?: string): Running {
    const child = spawn(process.execPath, [MAIN, ...args], {
      cwd: this.home,
      env: { PATH: process.env['PATH'], HOME: this.home, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk) => (stdout += String(chunk)))
    child.stderr.on('data', (chunk) => (stderr += String(chunk)))
    // A command that does not read its input may be gone before it is written.
    child.stdin.on('error', () => undefined)
    child.stdin.end(stdin ?? '')
    // What hangs must not outlive its test.
    const late = setTimeout(() => child.kill('SIGKILL'), 25_000)
    const ended = new Promise<Ended>((resolve) => {
      child.on('close', (code) => {
        clearTimeout(late)
        resolve({ code, stdout, stderr })
      })
    })
    return { child, ended, stdout: () => stdout, stderr: () => stderr }
  }

  run(args: readonly string[], env?: Readonly<Record<string, string>>, stdin?: string): Promise<Ended> {
    return this.start(args, env, stdin).ended
  }

  file(name: string): string {
    return join(this.home, name)
  }

  async remove(): Promise<void> {
    await rm(this.home, { recursive: true, force: true })
  }
}
