import { Kv4Error, VersionTag, isKv4Error, type Expectation, type Json } from '../core'
import type { ServiceRequest } from './module'
import { SPLAT } from './ver'

/**
 * What must be true of the entry for a write to happen, and what the caller is told if it is not. In this order:
 *
 *   If-Match: *            there is a live entry                         precondition_failed
 *   If-Match: "<tag>"      it is this version                            precondition_failed
 *   If-None-Match: *       there is none                                 precondition_failed
 *   _ver_: "_splat_"       nothing
 *   _ver_: "<tag>"         it is this version, or there is none          version_conflict
 *   no _ver_               nothing; under KV4_REQUIRE_VER there is none  _ver_missing
 */
export interface Condition {
  readonly expect?: Expectation
  readonly failure: 'precondition_failed' | 'version_conflict' | '_ver_missing'
  /** Where there is no live entry, the write happens all the same. */
  readonly orAbsent: boolean
}

const NONE: Condition = { failure: 'version_conflict', orAbsent: false }

type Headers = Pick<ServiceRequest, 'ifMatch' | 'ifNoneMatch'>

/** @throws bad_request for If-None-Match with a tag, and for both headers at once; precondition_failed for a tag that no version has */
export function headerCondition({ ifMatch, ifNoneMatch }: Headers): Condition | undefined {
  if (ifMatch !== undefined && ifNoneMatch !== undefined)
    throw new Kv4Error('bad_request', { fields: { reason: 'both If-Match and If-None-Match' } })
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch !== '*')
      throw new Kv4Error('bad_request', { fields: { reason: 'If-None-Match of a write is `*`' } })
    return { expect: 'absent', failure: 'precondition_failed', orAbsent: false }
  }
  if (ifMatch === undefined) return undefined
  if (ifMatch === '*') return { expect: 'present', failure: 'precondition_failed', orAbsent: false }
  const n = VersionTag.parse(ifMatch)
  if (n === undefined) throw new Kv4Error('precondition_failed')
  return { expect: { n }, failure: 'precondition_failed', orAbsent: false }
}

export function writeCondition(headers: Headers, ver: Json | undefined, requireVer: boolean): Condition {
  const byHeader = headerCondition(headers)
  if (byHeader !== undefined) return byHeader
  if (ver === SPLAT) return NONE
  if (ver === undefined)
    return requireVer ? { expect: 'absent', failure: '_ver_missing', orAbsent: false } : NONE
  const n = typeof ver === 'string' ? VersionTag.parse(ver) : undefined
  // What is no tag at all can be no live entry's version.
  return n === undefined
    ? { expect: 'absent', failure: 'version_conflict', orAbsent: false }
    : { expect: { n }, failure: 'version_conflict', orAbsent: true }
}

/**
 * Writes under a condition, and says what the caller is told if it does not hold.
 * @param write throws version_conflict without a `reason` when what it expects is not so
 * @param isAbsent asked past the cache
 * @throws what `failure` says; what `write` throws
 */
export function writeUnder<Written>(
  condition: Condition,
  write: (expect: Expectation | undefined) => Promise<Written>,
  isAbsent: () => Promise<boolean>,
): Promise<Written> {
  const { expect } = condition
  return expect === undefined ? write(expect) : writeExpecting(expect, condition, write, isAbsent)
}

async function writeExpecting<Written>(
  expect: Expectation,
  { failure, orAbsent }: Condition,
  write: (expect: Expectation | undefined) => Promise<Written>,
  isAbsent: () => Promise<boolean>,
): Promise<Written> {
  try {
    return await write(expect)
  } catch (error) {
    if (!isKv4Error(error, 'version_conflict') || error.fields.reason !== undefined) throw error
    if (!orAbsent || !(await isAbsent())) throw new Kv4Error(failure, { cause: error })
  }
  return writeUnder({ expect: 'absent', failure, orAbsent: false }, write, isAbsent)
}
