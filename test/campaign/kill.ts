import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ledger } from './ledger'
import { seeded } from './random'
import type { OpenSubject } from './subject'
import { runWritersProcess } from './writers-run'

export interface KillCampaign {
  readonly rounds: number
  readonly seed: number
  readonly writers?: number
  /** The longest that a round writes before it is killed, ms. Default 400. */
  readonly longest?: number
  /** The writers' script (see WritersRun) and what to compare with afterwards. */
  readonly entry: string
  readonly open: OpenSubject
  readonly onRound?: (round: KillRound) => void
}

export interface KillRound {
  readonly round: number
  readonly killAfter: number
  /** In all the life of the directory. */
  readonly acknowledged: number
  readonly reopenMs: number
  readonly problems: readonly string[]
}

export interface KillResult {
  readonly rounds: number
  readonly acknowledged: number
  readonly slowestReopenMs: number
  readonly problems: readonly string[]
  /** Directories with a problem, for whoever looks into it. */
  readonly kept: readonly string[]
}

// A directory lives for so many kills: long enough to have a past, short enough to be compared in full each time.
export const ROUNDS_PER_DIRECTORY = 10

/**
 * Promise 1 and 3: kill -9 at a random moment under concurrent writers, open again, and compare with the log of
 * acknowledgements, round after round on the same data.
 */
export async function runKillCampaign(campaign: KillCampaign): Promise<KillResult> {
  const { rounds, seed, writers = 64, longest = 400, entry, open } = campaign
  const random = seeded(seed)
  const problems: string[] = []
  const kept: string[] = []
  let acknowledged = 0
  let slowestReopenMs = 0
  for (let first = 0; first < rounds; first += ROUNDS_PER_DIRECTORY) {
    const directory = mkdtempSync(join(tmpdir(), 'kv4-kill-'))
    const ledger = new Ledger()
    const before = problems.length
    try {
      for (let round = first; round < Math.min(rounds, first + ROUNDS_PER_DIRECTORY); round++) {
        const killAfter = Math.floor(random() * longest)
        const end = await runWritersProcess({
          directory,
          writers,
          run: round + 1,
          entry,
          onTold: (told) => ledger.record(told),
          killAfter,
          limit: 60_000,
        })
        const found: string[] = []
        if (end.signal !== 'SIGKILL' || end.hung)
          found.push(`the writers ended by themselves: ${end.code} ${end.signal} ${end.stderr}`)
        const began = performance.now()
        const subject = await open(directory, (error) => found.push(`fatal: ${error.message}`))
        const reopenMs = performance.now() - began
        slowestReopenMs = Math.max(slowestReopenMs, reopenMs)
        found.push(...(await ledger.compare(subject)))
        await subject.close()
        problems.push(...found.map((problem) => `round ${round}, killed after ${killAfter} ms: ${problem}`))
        campaign.onRound?.({
          round,
          killAfter,
          acknowledged: ledger.acknowledged,
          reopenMs,
          problems: found,
        })
      }
    } finally {
      acknowledged += ledger.acknowledged
      if (problems.length === before) rmSync(directory, { recursive: true, force: true })
      else kept.push(directory)
    }
  }
  return { rounds, acknowledged, slowestReopenMs, problems, kept }
}
