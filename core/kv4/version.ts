import type { Json } from '../json'

export type Operation = 'create' | 'update' | 'delete'

/** Secondary keys of an entry, unique per path, layer and slot among live entries. */
export interface SecondaryKeys {
  readonly k2?: string
  readonly k3?: string
  readonly k4?: string
}

export const SLOTS = ['k2', 'k3', 'k4'] as const
export type Slot = (typeof SLOTS)[number]

/** One write to an address. Immutable and, in a versioned layer, kept. */
export interface Version extends SecondaryKeys {
  /** 1, 2, 3 … without gaps per address in a versioned layer; in a current layer it only grows. */
  readonly n: number
  /** Unix milliseconds; never decreases per address. */
  readonly at: number
  /** The login that wrote it. */
  readonly by: string
  readonly op: Operation
  /** null when `op` is `delete`. */
  readonly v: Json
  /** Unix milliseconds from which on the entry reads as absent. */
  readonly exp?: number
  /** Of the request that wrote it, where that may come again: `WriteMark.id`. */
  readonly mark?: string
}

/** One append to a series. */
export interface Sample {
  readonly at: number
  /** Unique per address and `at`: of `SampleIds`, or of the request's mark. Appending the same sample twice stores it once. */
  readonly id: string
  readonly by: string
  readonly v: Json
}

/** The version as clients see it (`_ver_`, ETag): opaque to them, made from n. */
export const VersionTag = {
  of(version: Pick<Version, 'n'>): string {
    return 'v' + version.n.toString(36)
  },

  /** undefined when the text was not made by `of`. */
  parse(text: string): number | undefined {
    if (!/^v[1-9a-z][0-9a-z]{0,10}$/.test(text)) return undefined
    const n = Number.parseInt(text.slice(1), 36)
    return Number.isSafeInteger(n) ? n : undefined
  },
}

/** Present at that instant: not deleted and not lapsed. */
export function isLive(version: Version | undefined, now: number): version is Version {
  return version !== undefined && version.op !== 'delete' && (version.exp === undefined || version.exp > now)
}
