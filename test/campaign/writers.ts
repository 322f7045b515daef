import { writeSync } from 'node:fs'
import { valueOf } from './acknowledgement'
import type { Told } from './acknowledgement'
import { seeded } from './random'
import type { OpenSubject, Subject } from './subject'

/** File descriptor of the pipe to the parent. What is written to it outlives the process. */
const PARENT = 3

function tell(told: Told): void {
  writeSync(PARENT, JSON.stringify(told) + '\n')
}

/**
 * The writers' process: so many writers at once, each waiting for its acknowledgement before it tells the parent and
 * goes on. Half of the keys are a writer's own, the others are fought over. Runs until it is killed.
 * `run`: a number that no other process on this directory had; it makes values and ids unique.
 */
export async function runWriters(
  open: OpenSubject,
  directory: string,
  writers: number,
  run: number,
): Promise<void> {
  const subject = await open(directory, (error) => {
    tell(['fatal', error.message])
    process.exit(70)
  })
  await Promise.all(Array.from({ length: writers }, (_, writer) => runWriter(subject, writer, run)))
}

async function runWriter(subject: Subject, writer: number, run: number): Promise<void> {
  const random = seeded(run * 1000 + writer)
  for (let i = 0; ; i++) {
    const value = (run * 64 + writer) * 1_000_000 + i
    const shared = random() < 0.5
    const key = shared ? `shared${Math.floor(random() * 8)}` : `own${writer}`
    const move = random()
    if (writer === 0 && move < 0.3) await runBucket(subject, `b${run}x${i}`, random)
    else if (move < 0.6) tell(['put', key, await subject.put(key, valueOf(value)), value])
    else if (move < 0.7) tell(['remove', key, await subject.remove(key)])
    else if (move < 0.85) tell(['beat', key, await subject.beat(key, valueOf(value)), value])
    else {
      const id = `${run}-${writer}-${i}`
      await subject.append(key, id, valueOf(value))
      tell(['append', key, id, value])
    }
  }
}

async function runBucket(subject: Subject, bucket: string, random: () => number): Promise<void> {
  await subject.create(bucket)
  tell(['create', bucket])
  if (random() < 0.8) {
    tell(['dropping', bucket])
    await subject.drop(bucket)
    tell(['dropped', bucket])
  }
}
