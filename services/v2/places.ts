import { Path, isKv4Error, type Bucket } from '../../core'
import { NAMESPACE, NAMESPACES, namespaceAddress } from '../namespace'
import type { Call } from './call'
import type { Parameters } from './parameters'
import { Refusal } from './refusal'

/** The three steps of a V2 path, which is `/domain/application/room` in `_ns`. */
export const STEPS = ['domain', 'application', 'room'] as const
export type Step = (typeof STEPS)[number]

const MISSING = { domain: 'no_domain', application: 'no_application', room: 'no_room' } as const
const THERE = { domain: 'domain_exists', application: 'application_exists', room: 'room_exists' } as const
const BAD = { domain: 'bad_domain_format', application: 'bad_app_format', room: 'bad_room_format' } as const

/** Contract rest §11; domains may begin with a digit, as those of DNS do. */
const FORMATS: Readonly<Record<Step, RegExp>> = {
  domain: /^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$/,
  application: /^[A-Za-z][A-Za-z0-9_.-]{0,254}$/,
  room: /^[A-Za-z][A-Za-z0-9_.-]{0,254}$/,
}

const NAMES = 10_000

function nameOf(step: Step, parameters: Parameters): string {
  const name = parameters.get(step)
  if (name === undefined || name === '') throw new Refusal(MISSING[step])
  if (!FORMATS[step].test(name)) throw new Refusal(BAD[step])
  return name
}

/** It or something below it is a namespace. */
async function isThere(bucket: Bucket, path: Path): Promise<boolean> {
  const { items } = await bucket.paths(NAMESPACES, path, undefined, { limit: 1 })
  return items.length > 0
}

/** The call's way to a place. */
type Way = Pick<Call, 'bucket' | 'parameters' | 'checkBans'>

/**
 * The path down to a step, each part of it being there and not denied the caller; `upTo` undefined: the root.
 * @throws Refusal no_domain, no_application, no_room; forbidden
 */
export async function existing(way: Way, upTo: Step | undefined): Promise<Path> {
  const { bucket } = way
  let path = Path.root
  if (upTo === undefined) return path
  for (const step of STEPS) {
    path = await below(path, step, way)
    if (!(await isThere(bucket, path))) throw new Refusal(MISSING[step])
    if (step === upTo) break
  }
  return path
}

/** @throws forbidden before anything is told of what is there */
async function below(above: Path, step: Step, { parameters, checkBans }: Way): Promise<Path> {
  const path = Path.parse(`${above}/${nameOf(step, parameters)}`)
  await checkBans(path)
  return path
}

export async function list(way: Way, step: Step): Promise<readonly string[]> {
  const { bucket } = way
  const above = await existing(way, before(step))
  const depth = Path.depth(above)
  const names = new Set<string>()
  let after: Path | undefined
  do {
    const page = await bucket.paths(NAMESPACES, above, undefined, {
      limit: NAMES,
      ...(after !== undefined && { after }),
    })
    // What is only implied by a namespace below it counts: it can be used like the others.
    for (const path of page.items) {
      const name = Path.segments(path)[depth]
      if (name !== undefined) names.add(name)
    }
    after = page.next
  } while (after !== undefined)
  return [...names]
}

export async function add(way: Way, step: Step, by: string): Promise<void> {
  const above = await existing(way, before(step))
  const path = await below(above, step, way)
  try {
    await way.bucket.put(namespaceAddress(path), NAMESPACE, { by, expect: 'absent' })
  } catch (error) {
    throw isKv4Error(error, 'version_conflict') ? new Refusal(THERE[step]) : error
  }
}

/** With all that is below it. */
export async function remove(way: Way, step: Step, by: string): Promise<void> {
  const path = await existing(way, step)
  await way.bucket.removeUnder(NAMESPACES, path, { by })
}

function before(step: Step): Step | undefined {
  return STEPS[STEPS.indexOf(step) - 1]
}
