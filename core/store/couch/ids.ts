import type { Address } from '../../kv4/address'
import type { Key } from '../../kv4/key'
import type { Layer } from '../../kv4/layer'
import type { Path } from '../../kv4/path'
import { Component } from './component'

/**
 * The ids of a bucket's documents. CouchDB keeps them in byte order, which is the order of the tree:
 *
 *   v!<layer>!<path>!<key>!<n>           one version                 immutable
 *   b!<layer>!<path>!<key>               what pruning left of the versions before the oldest kept (prune-versions.ts)
 *   c!<layer>!<path>!<key>               one current entry           rewritten in place
 *   s!<layer>!<path>!<key>!<at>!<id>     one sample                  immutable
 *   r!<layer>!<path>!<key>!<at>          what pruning left of one minute of samples (prune-samples.ts)
 *   _design/kv4-<hash>                   the two views (design-document.ts)
 *
 * <layer>, <path>, <key>, <id> are components (component.ts): none contains `!`, `"` or a byte below. A range ends
 * (exclusively) at the same prefix with `"`, the successor of `!`, in place of its last separator.
 * <n>, <at> are decimal with a letter for the number of digits before them (a7, b42, c123), so that they sort as
 * numbers without a width to outgrow.
 *
 * The latest version of an address is the last id of its range. Ids travel in bodies only, never in a URL.
 */
export type DocumentKind = 'v' | 'b' | 'c' | 's' | 'r'

const SEPARATOR = '!'
const BEHIND_SEPARATOR = '"'

export interface IdRange {
  /** Below every id of the range. */
  readonly start: string
  /** Above every id of the range. */
  readonly end: string
}

export interface ParsedId {
  readonly kind: DocumentKind
  readonly address: Address
  /** Of a version: n. Of a sample or a minute: at. */
  readonly number?: number
  /** Of a sample. */
  readonly sample?: string
}

/** @throws RangeError for what no version number or time can be */
export function sortableNumber(value: number): string {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} cannot be part of an id`)
  const digits = String(value)
  return String.fromCharCode(0x60 + digits.length) + digits
}

function addressPart(address: Address): string {
  return (
    Component.of(address.layer) +
    SEPARATOR +
    Component.ofPath(address.path) +
    SEPARATOR +
    Component.of(address.key)
  )
}

const NUMBER = /^[a-p]\d{1,16}$/

export const Ids = {
  version(address: Address, n: number): string {
    return 'v!' + addressPart(address) + SEPARATOR + sortableNumber(n)
  },

  /** Every version of the address above `above` and below `below`. */
  versions(address: Address, above = 0, below?: number): IdRange {
    const prefix = 'v!' + addressPart(address)
    return {
      start: prefix + SEPARATOR + (above > 0 ? sortableNumber(above) + SEPARATOR : ''),
      end:
        below === undefined
          ? prefix + BEHIND_SEPARATOR
          : prefix + SEPARATOR + sortableNumber(Math.max(0, below - 1)) + BEHIND_SEPARATOR,
    }
  },

  base(address: Address): string {
    return 'b!' + addressPart(address)
  },

  current(address: Address): string {
    return 'c!' + addressPart(address)
  },

  sample(address: Address, at: number, id: string): string {
    return 's!' + addressPart(address) + SEPARATOR + sortableNumber(at) + SEPARATOR + Component.of(id)
  },

  /** Samples from `from` to `to`, both inclusive. */
  samples(address: Address, from?: number, to?: number): IdRange {
    const prefix = 's!' + addressPart(address)
    return {
      start: prefix + SEPARATOR + (from === undefined ? '' : sortableNumber(from)),
      end:
        to === undefined
          ? prefix + BEHIND_SEPARATOR
          : prefix + SEPARATOR + sortableNumber(to) + BEHIND_SEPARATOR,
    }
  },

  minute(address: Address, at: number): string {
    return 'r!' + addressPart(address) + SEPARATOR + sortableNumber(at)
  },

  /** Above this id and below every other that is above it. */
  behind(id: string): string {
    return id + SEPARATOR
  },

  /** undefined for an id that none of the functions above made. */
  parse(id: string): ParsedId | undefined {
    const [kind, layer, path, key, number, sample, ...rest] = id.split(SEPARATOR)
    if (layer === undefined || path === undefined || key === undefined || rest.length > 0) return undefined
    if (![layer, path, key, sample ?? ''].every((part) => Component.isOne(part))) return undefined
    if (number !== undefined && !NUMBER.test(number)) return undefined
    const address = (): Address => ({
      layer: Component.parse(layer) as Layer,
      path: Component.parse(path) as Path,
      key: Component.parse(key) as Key,
    })
    const value = number === undefined ? undefined : Number(number.slice(1))
    switch (kind) {
      case 'v':
      case 'r':
        return value === undefined || sample !== undefined
          ? undefined
          : { kind, address: address(), number: value }
      case 'b':
      case 'c':
        return value === undefined ? { kind, address: address() } : undefined
      case 's':
        return value === undefined || sample === undefined
          ? undefined
          : { kind, address: address(), number: value, sample: Component.parse(sample) }
      default:
        return undefined
    }
  },
}
