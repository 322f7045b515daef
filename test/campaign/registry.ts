import { existsSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { startProcess, type ServerProcess } from '../server/process'
import { SYS_SECRET, ask } from '../server/world'
import { RegistryClient, SYS, newAccount } from '../services/registry/world'
import { seeded } from './random'

/**
 * Promise 20: a service that heartbeats on time, each time after nothing to twice its interval, does not die of what
 * happens to the platform – its process is stopped for a while, or killed, or the machine's clock is set – and one that
 * does not is told dead within its timeout and two seconds. On a real process, whose clock is set by libfaketime where
 * that is installed.
 */
export interface RegistryCampaign {
  readonly services: number
  /** Each has one death that is due, then one fault, in turns: pause, clock forwards, kill, clock back. */
  readonly rounds: number
  readonly seed: number
  readonly pauseMs: number
  /** Seconds without a heartbeat after which a service is dead. Its heartbeats come within half of it. Default 8. */
  readonly timeoutS?: number
  /** How far the clock is set. Default ten minutes. */
  readonly stepMs?: number
  readonly onRound?: (round: RegistryRound) => void
}

export type RegistryFault = 'pause' | 'step forwards' | 'kill' | 'step back'

export interface RegistryRound {
  readonly round: number
  readonly fault: RegistryFault
  /** Ms from the last heartbeat of the service that ended to its event. */
  readonly deathMs: number
  readonly problems: readonly string[]
}

export interface RegistryResult {
  readonly rounds: number
  readonly faults: readonly RegistryFault[]
  readonly heartbeats: number
  /** Beyond their timeout, the worst. */
  readonly slowestDeathMs: number
  readonly problems: readonly string[]
}

const TOLD_WITHIN_MS = 2_000
const GIVE_UP_MS = 60_000
/** Answers after which a client tries again: a request that a pause cut off, and a platform that is busy. */
const AGAIN = new Set([408, 429, 503])

const LIBRARIES = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map(
  (machine) => `/usr/lib/${machine}/faketime/libfaketimeMT.so.1`,
)
/** undefined: the clock cannot be set here. */
export const FAKETIME = LIBRARIES.find((library) => existsSync(library))

const FAULTS: readonly RegistryFault[] =
  FAKETIME === undefined ? ['pause', 'kill'] : ['pause', 'step forwards', 'kill', 'step back']

interface Beating {
  readonly id: string
  token: string
  /** When it was answered last, by performance.now(). */
  last: number
  ends: boolean
  /** Its answer was lost with a server that was killed, so that it has no token any more. */
  cut: boolean
}

interface FeedEvent {
  readonly type: string
  readonly payload: { readonly id: string }
}

export async function runRegistryCampaign(campaign: RegistryCampaign): Promise<RegistryResult> {
  const { services, rounds, seed, pauseMs, timeoutS = 8, stepMs = 600_000 } = campaign
  const timeoutMs = timeoutS * 1000
  const beatMs = timeoutMs / 4
  const random = seeded(seed)
  const directory = await mkdtemp(join(tmpdir(), 'kv4-registry-'))
  const clock = join(directory, 'clock')
  let offset = 0
  const setClock = (ms: number) => {
    offset = ms
    writeFileSync(clock, `${ms < 0 ? '-' : '+'}${Math.abs(ms) / 1000}`)
  }
  setClock(0)
  const start = (): ServerProcess =>
    startProcess({
      KV4_DATA_DIR: join(directory, 'data'),
      KV4_SYS_SECRET: SYS_SECRET,
      KV4_LOG_LEVEL: 'info',
      ...(FAKETIME !== undefined && {
        LD_PRELOAD: FAKETIME,
        FAKETIME_TIMESTAMP_FILE: clock,
        FAKETIME_NO_CACHE: '1',
        DONT_FAKE_MONOTONIC: '1',
      }),
    })

  let server = start()
  let on = true
  let heartbeats = 0
  let slowestDeathMs = 0
  const problems: string[] = []
  const beating: Beating[] = []
  const deaths = new Deaths()
  const loops: Promise<void>[] = []
  try {
    let client = await newAccount(await server.port, 'campaign')
    await client.login()
    const limits = await ask(client.port, 'PUT', '/_reg/limits', {
      as: SYS,
      body: { k: client.user, v: { resource: { service: services + rounds } } },
    })
    if (limits.status >= 300) throw new Error(`the limits were refused: ${limits.text}`)

    const beat = async (each: Beating): Promise<void> => {
      await wait(random() * beatMs)
      while (on && !each.ends && !each.cut) {
        const at = client
        try {
          const { status, json, text } = await at.post(`/services/${each.id}/heartbeat`, {
            token: each.token,
          })
          if (status === 200) {
            each.token = json.token as string
            each.last = performance.now()
            heartbeats++
          } else if (AGAIN.has(status)) {
            // As the published clients do: with the same token.
            await wait(10)
            continue
          } else if (at === client && on) {
            problems.push(`${each.id}: its heartbeat was answered with ${status} ${text}`)
            return
          }
        } catch {
          // Refused: it never arrived. Broken: it may have been taken, and the next token is lost.
          if (on) each.cut = await isTaken(() => client, each)
        }
        await wait(random() * 2 * beatMs)
      }
    }
    const register = async (id: string): Promise<Beating> => {
      const { status, json } = await client.post('/services', { id, heartbeat_timeout: timeoutS })
      if (status !== 201) throw new Error(`${id} was refused: ${JSON.stringify(json)}`)
      const each = { id, token: json.token as string, last: performance.now(), ends: false, cut: false }
      beating.push(each)
      loops.push(beat(each))
      return each
    }
    for (let i = 0; i < services; i++) await register(`service-${i}`)

    const due = new Set<string>()
    for (let round = 1; round <= rounds; round++) {
      const before = problems.length
      const fault = FAULTS[(round - 1) % FAULTS.length]!
      const mortal = await register(`mortal-${round}`)
      await wait(2 * beatMs + random() * beatMs)
      mortal.ends = true
      due.add(mortal.id)
      const told = await deaths.told(client, mortal)
      const deathMs = told - mortal.last
      slowestDeathMs = Math.max(slowestDeathMs, deathMs - timeoutMs)
      if (deathMs > timeoutMs + TOLD_WITHIN_MS)
        problems.push(
          `round ${round}: ${mortal.id} was told dead ${deathMs.toFixed(0)} ms after its last word`,
        )

      switch (fault) {
        case 'pause':
          server.child.kill('SIGSTOP')
          await wait(pauseMs)
          server.child.kill('SIGCONT')
          break
        case 'step forwards':
          setClock(offset + stepMs)
          break
        case 'step back':
          setClock(offset - stepMs)
          break
        case 'kill': {
          server.child.kill('SIGKILL')
          await server.exit
          server = start()
          const renewed = new RegistryClient(await server.port, client.user, client.secret)
          await renewed.login()
          client = renewed
          break
        }
        default:
          fault satisfies never
      }
      // Whoever the fault would have killed is dead by then.
      await wait(timeoutMs + TOLD_WITHIN_MS)
      const dead = await deaths.read(client)
      for (const id of dead)
        if (!due.has(id) && !beating.find((each) => each.id === id)!.cut)
          problems.push(`round ${round}: ${id} died of a ${fault}`)
      for (const id of due) {
        const times = dead.filter((each) => each === id).length
        if (times !== 1) problems.push(`round ${round}: ${id} was told dead ${times} times`)
      }
      campaign.onRound?.({ round, fault, deathMs, problems: problems.slice(before) })
    }
    return {
      rounds,
      faults: FAULTS.slice(0, rounds),
      heartbeats,
      slowestDeathMs,
      problems: [...new Set(problems)],
    }
  } finally {
    on = false
    server.child.kill('SIGCONT')
    server.child.kill('SIGKILL')
    await server.exit
    await Promise.all(loops)
    await rm(directory, { recursive: true, force: true })
  }
}

/** Whether a heartbeat without an answer has used its token up. The next server knows. */
async function isTaken(client: () => RegistryClient, each: Beating): Promise<boolean> {
  for (let attempt = 0; attempt < 100; attempt++) {
    try {
      const { status, json } = await client().post(`/services/${each.id}/heartbeat`, { token: each.token })
      if (status !== 200) return status === 404
      each.token = json.token as string
      each.last = performance.now()
      return false
    } catch {
      await wait(100)
    }
  }
  return true
}

/** Whom the feed tells dead, in order, read on from where it was read to. */
class Deaths {
  readonly ids: string[] = []
  #after: string | undefined

  async read(client: RegistryClient): Promise<readonly string[]> {
    for (;;) {
      const behind = this.#after === undefined ? '' : `&after=${this.#after}`
      const { status, json } = await client.native('GET', `/_reg/events?limit=1000${behind}`)
      if (status !== 200) throw new Error(`the events were refused: ${status} ${JSON.stringify(json)}`)
      const { v, next } = json as { readonly v: readonly FeedEvent[]; readonly next?: string }
      if (v.length === 0) return this.ids
      for (const { type, payload } of v) if (type === 'service.timeout') this.ids.push(payload.id)
      this.#after = next
    }
  }

  /** When it tells of somebody's end. */
  async told(client: RegistryClient, { id, last }: Beating): Promise<number> {
    while (performance.now() - last < GIVE_UP_MS) {
      if ((await this.read(client)).includes(id)) return performance.now()
      await wait(50)
    }
    throw new Error(`${id} is not told dead at all`)
  }
}
