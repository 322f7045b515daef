import type { Json } from '../../json'
import type { Operation, Sample, SecondaryKeys, Version } from '../../kv4/version'
import type { Aggregate, PutCurrent, PutSample, PutVersion, Write } from '../store'
import { Ids } from './ids'

export function tombstone(id: string, rev: string): StoredDocument {
  return { _id: id, _rev: rev, _deleted: true }
}

/** What every document of ours has on the wire. */
export interface StoredDocument {
  readonly _id: string
  readonly _rev?: string
  readonly _deleted?: true
  /** Losing branches, where the request asked for them (conflicts.ts). */
  readonly _conflicts?: readonly string[]
  /** The writer's nonce: tells our own write from another's when an answer was lost. */
  readonly w?: string
}

/** Of `v!` and `c!` documents; the n of a version is in its id, too. */
export interface VersionDocument extends StoredDocument, SecondaryKeys {
  readonly n: number
  readonly at: number
  readonly by: string
  readonly op: Operation
  readonly v?: Json
  readonly exp?: number
  readonly mark?: string
  /** The version before had an `exp`: the view must emit this one. */
  readonly renews?: true
  /** A branch of version `lost` that a conflict hid, appended again as this one. */
  readonly lost?: number
  /** Of a version that was appended again: when it was first written. */
  readonly was?: number
}

export interface SampleDocument extends StoredDocument {
  readonly at: number
  readonly by: string
  readonly v: Json
}

/** Of `b!` documents: the key was live just before version `n`, the oldest that is kept. */
export interface BaseDocument extends StoredDocument {
  readonly n: number
  readonly live: boolean
}

/** Of `r!` documents: what the forgotten samples of a minute add up to (prune-samples.ts). */
export interface MinuteDocument extends StoredDocument {
  readonly at: number
  /** What the view counts. */
  readonly sum?: Aggregate
  /** Samples about to be deleted, which count by themselves until then. */
  readonly taking?: { readonly ids: readonly string[]; readonly sum: Aggregate }
  /** Samples in `sum` that may not be deleted yet. */
  readonly took?: readonly string[]
}

// Assigned one by one rather than spread: this is the hot path of writing and of reading.
function versionBody(id: string, version: Version, w: string): Mutable<VersionDocument> {
  const document: Mutable<VersionDocument> = {
    _id: id,
    w,
    n: version.n,
    at: version.at,
    by: version.by,
    op: version.op,
  }
  if (version.op !== 'delete') document.v = version.v
  if (version.exp !== undefined) document.exp = version.exp
  if (version.k2 !== undefined) document.k2 = version.k2
  if (version.k3 !== undefined) document.k3 = version.k3
  if (version.k4 !== undefined) document.k4 = version.k4
  if (version.mark !== undefined) document.mark = version.mark
  return document
}

type Mutable<T> = { -readonly [Name in keyof T]: T[Name] }

function ofVersion(put: PutVersion, w: string): VersionDocument {
  const document = versionBody(Ids.version(put.address, put.version.n), put.version, w)
  if (put.renews) document.renews = true
  return document
}

/** A removed entry keeps who and when in its tombstone, for the feed. */
function ofCurrent(put: PutCurrent, w: string): VersionDocument {
  const document = versionBody(Ids.current(put.address), put.version, w)
  if (put.version.op === 'delete') document._deleted = true
  return document
}

function ofSample({ address, sample }: PutSample, w: string): SampleDocument {
  return { _id: Ids.sample(address, sample.at, sample.id), w, at: sample.at, by: sample.by, v: sample.v }
}

export function documentOf(write: Write, w: string): VersionDocument | SampleDocument {
  switch (write.kind) {
    case 'versioned':
      return ofVersion(write, w)
    case 'current':
      return ofCurrent(write, w)
    case 'series':
      return ofSample(write, w)
  }
}

export function versionOf(document: VersionDocument): Version {
  const version: Mutable<Version> = {
    n: document.n,
    at: document.at,
    by: document.by,
    op: document.op,
    v: document.v ?? null,
  }
  if (document.k2 !== undefined) version.k2 = document.k2
  if (document.k3 !== undefined) version.k3 = document.k3
  if (document.k4 !== undefined) version.k4 = document.k4
  if (document.exp !== undefined) version.exp = document.exp
  if (document.mark !== undefined) version.mark = document.mark
  return version
}

export function sampleOf(id: string, document: SampleDocument): Sample {
  return { at: document.at, id, by: document.by, v: document.v }
}
