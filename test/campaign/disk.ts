import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ledger } from './ledger'
import { seeded } from './random'
import type { OpenSubject } from './subject'
import { runWritersProcess } from './writers-run'

/**
 * What the disk refuses, as strace injects it, and within how many such calls. The log is written with pwrite64 alone, at
 * each acknowledgement; LMDB's file with all of them, a few times a second.
 */
export const FAULTS = [
  { fault: 'fdatasync:error=EIO', within: 6 },
  { fault: 'pwrite64:error=EIO', within: 40 },
  { fault: 'pwrite64:error=ENOSPC', within: 40 },
  { fault: 'writev:error=EIO', within: 6 },
  { fault: 'writev:error=ENOSPC', within: 6 },
] as const

export interface DiskCampaign {
  readonly injections: number
  readonly seed: number
  readonly writers?: number
  readonly entry: string
  readonly open: OpenSubject
  readonly onInjection?: (line: string) => void
}

export interface DiskResult {
  /** Runs in which the fault was met; the others ended without it and prove nothing. */
  readonly met: number
  readonly acknowledged: number
  readonly problems: readonly string[]
}

export function straceIsThere(): boolean {
  return spawnSync('strace', ['-V']).status === 0
}

// What a writers' process ends with when it was told that the disk failed, and when it could not even open.
const FATAL = 70
const NOT_OPENED = 1

/**
 * Promise 5: a call to the disk fails, once or from then on, at a random moment under concurrent writers. The process
 * must end by itself, its last word being the failure, and what it acknowledged must be there when the data is opened
 * again. The failing call is not executed, so a commit that it belonged to cannot be there: an acknowledgement of it
 * shows as lost.
 */
export async function runDiskCampaign(campaign: DiskCampaign): Promise<DiskResult> {
  const { injections, seed, writers = 16, entry, open } = campaign
  const random = seeded(seed)
  const problems: string[] = []
  let met = 0
  let acknowledged = 0
  for (let i = 0; i < injections; i++) {
    const { fault, within } = FAULTS[i % FAULTS.length]!
    const when = `${1 + Math.floor(random() * within)}${random() < 0.5 ? '+' : ''}`
    const inject = `${fault}:when=${when}`
    const directory = mkdtempSync(join(tmpdir(), 'kv4-disk-'))
    const ledger = new Ledger()
    const found: string[] = []
    let failed = false
    try {
      const end = await runWritersProcess({
        directory,
        writers,
        run: i + 1,
        entry,
        wrapper: [
          'strace',
          '-f',
          '-qq',
          '--seccomp-bpf',
          '-o',
          '/dev/null',
          '-e',
          `trace=${fault.split(':')[0]}`,
          '-e',
          `inject=${inject}`,
        ],
        // strace counts per thread: with one thread in the pool the moment is the seed's.
        environment: { UV_THREADPOOL_SIZE: '1' },
        onTold: (told) => {
          if (failed) found.push(`acknowledged after the failure: ${JSON.stringify(told)}`)
          if (told[0] === 'fatal') failed = true
          else ledger.record(told)
        },
        killAfter: 2000,
        limit: 60_000,
      })
      const wasMet = failed || end.code === NOT_OPENED
      if (wasMet) met++
      if (end.hung) found.push('hangs')
      if (failed && end.code !== FATAL) found.push(`ended with ${end.code} ${end.signal} ${end.stderr}`)
      const subject = await open(directory, (error) => found.push(`fatal: ${error.message}`))
      found.push(...(await ledger.compare(subject)))
      await subject.close()
      acknowledged += ledger.acknowledged
      campaign.onInjection?.(
        `${inject}: ${wasMet ? 'met' : 'not met'} after ${ledger.acknowledged} acknowledgements: ` +
          (found.length === 0 ? 'ok' : found.join('; ')),
      )
      problems.push(...found.map((problem) => `${inject}: ${problem}`))
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }
  return { met, acknowledged, problems }
}
