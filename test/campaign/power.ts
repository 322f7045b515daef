import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readRecording, recordingOptions } from './disk-recording'
import type { DiskEvent, DiskWrite } from './disk-recording'
import { Ledger } from './ledger'
import { seeded } from './random'
import type { OpenSubject } from './subject'
import { runWritersProcess } from './writers-run'

export interface PowerCampaign {
  readonly images: number
  readonly seed: number
  readonly writers?: number
  readonly entry: string
  /** The data files' names within their directory. */
  readonly files: readonly string[]
  readonly open: OpenSubject
  /** Turns a recording into a worse one: shows that the campaign would see it. */
  readonly spoil?: (events: readonly DiskEvent[]) => readonly DiskEvent[]
  /** Throws when a recording lacks what the campaign is to cut into. */
  readonly check?: (events: readonly DiskEvent[]) => void
  readonly onRecording?: (line: string) => void
}

export interface PowerResult {
  readonly images: number
  /** Acknowledgements that the images were compared with, in all. */
  readonly compared: number
  readonly problems: readonly string[]
}

const SECTOR = 512
const IMAGES_PER_RECORDING = 200
const PIPE = 3

/**
 * Promise 2: the writes to the data file are recorded; then the file is built as a power cut at a random moment may
 * have left it, each write that was not synced whole, torn by sectors or gone, and opened. What had been acknowledged
 * by that moment must be there.
 */
export async function runPowerCampaign(campaign: PowerCampaign): Promise<PowerResult> {
  const { images, seed, files, open } = campaign
  const random = seeded(seed)
  const problems: string[] = []
  let compared = 0
  for (let first = 0; first < images; first += IMAGES_PER_RECORDING) {
    const directory = mkdtempSync(join(tmpdir(), 'kv4-power-'))
    try {
      const recorded = await record(campaign, directory, first + 1)
      const events = campaign.spoil?.(recorded) ?? recorded
      const start = events.findIndex(({ kind }) => kind === 'told')
      if (start === -1) throw new Error('nothing was acknowledged while recording')
      campaign.check?.(events.slice(start))
      const count = Math.min(IMAGES_PER_RECORDING, images - first)
      const cuts = Array.from({ length: count }, () => start + Math.floor(random() * (events.length - start)))
      cuts.sort((a, b) => a - b)
      campaign.onRecording?.(`${events.length} events, ${count} images`)
      const disk = new Disk(random, files)
      const ledger = new Ledger()
      let at = 0
      for (const [i, cut] of cuts.entries()) {
        for (; at <= cut; at++) {
          const event = events[at]!
          if (event.kind === 'told') ledger.record(event.told)
          else disk.apply(event)
        }
        const image = join(directory, `image${i}`)
        mkdirSync(image)
        for (const [file, bytes] of disk.image()) writeFileSync(join(image, file), bytes)
        compared += ledger.acknowledged
        problems.push(...(await compare(image, ledger, open)).map((problem) => `cut at ${cut}: ${problem}`))
        rmSync(image, { recursive: true })
      }
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }
  return { images, compared, problems }
}

async function record(
  { entry, files, writers = 16 }: PowerCampaign,
  directory: string,
  run: number,
): Promise<DiskEvent[]> {
  const log = join(directory, 'strace.log')
  const data = join(directory, 'data')
  await runWritersProcess({
    directory: data,
    writers,
    run,
    entry,
    wrapper: recordingOptions(log),
    environment: { UV_THREADPOOL_SIZE: '1' },
    onTold: () => undefined,
    killAfter: 1000,
    limit: 60_000,
  })
  return readRecording(log, files, PIPE)
}

async function compare(image: string, ledger: Ledger, open: OpenSubject): Promise<string[]> {
  const failures: string[] = []
  try {
    const subject = await open(image, (error) => failures.push(`fatal: ${error.message}`))
    failures.push(...(await ledger.compare(subject)))
    await subject.close()
  } catch (error) {
    failures.push(`unreadable: ${String(error)}`)
  }
  return failures
}

/** The bytes that are safe, and the writes that are not yet. */
class Disk {
  readonly #safe: Map<string, Buffer<ArrayBuffer>>
  #unsafe: { readonly write: DiskWrite; ended: boolean }[] = []
  /** Of the sync under way, by file. */
  readonly #covered = new Map<string, DiskWrite[]>()

  constructor(
    private readonly random: () => number,
    files: readonly string[],
  ) {
    this.#safe = new Map(files.map((file) => [file, Buffer.alloc(0)]))
  }

  apply(event: Exclude<DiskEvent, { kind: 'told' }>): void {
    switch (event.kind) {
      case 'begin':
        this.#unsafe.push({ write: event.write, ended: false })
        return
      case 'end': {
        const entry = this.#unsafe.find(({ write }) => write === event.write)
        if (entry !== undefined) entry.ended = true
        if (event.write.synchronous) this.#keep([event.write])
        return
      }
      case 'sync begin':
        this.#covered.set(
          event.file,
          this.#unsafe
            .filter(({ ended, write }) => ended && write.file === event.file)
            .map(({ write }) => write),
        )
        return
      case 'sync end':
        this.#keep(this.#covered.get(event.file) ?? [])
        this.#covered.delete(event.file)
        return
    }
  }

  #keep(writes: readonly DiskWrite[]): void {
    for (const { file, offset, data } of writes)
      this.#safe.set(file, written(this.#safe.get(file)!, offset, data))
    this.#unsafe = this.#unsafe.filter(({ write }) => !writes.includes(write))
  }

  /** One of the states that a power cut may leave now. */
  image(): ReadonlyMap<string, Buffer> {
    const images = new Map([...this.#safe].map(([file, bytes]) => [file, Buffer.from(bytes)]))
    for (const {
      write: { file, offset, data },
    } of this.#unsafe) {
      let image = images.get(file)!
      const fate = this.random()
      if (fate < 0.35) continue
      if (fate < 0.7) image = written(image, offset, data)
      else {
        // Sectors are written whole, in any order: the first one may begin within a sector.
        for (let from = 0; from < data.length;) {
          const to = Math.min(data.length, from + SECTOR - ((offset + from) % SECTOR))
          if (this.random() < 0.5) image = written(image, offset + from, data.subarray(from, to))
          from = to
        }
      }
      images.set(file, image)
    }
    return images
  }
}

function written(file: Buffer<ArrayBuffer>, offset: number, data: Buffer): Buffer<ArrayBuffer> {
  const end = offset + data.length
  const grown = file.length >= end ? file : Buffer.concat([file, Buffer.alloc(end - file.length)])
  data.copy(grown, offset)
  return grown
}
