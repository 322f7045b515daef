import { type Address, addressId } from '../../kv4/address'
import type { Version } from '../../kv4/version'
import type { DocsQuery, DocsRow } from './couch-database'
import { type VersionDocument, versionOf } from './documents'
import { Ids } from './ids'
import { KnownHeads } from './known-heads'
import type { ReadQueue } from './read-queue'

type Kind = 'versioned' | 'current'

export interface Head {
  readonly version: Version
  readonly rev: string
}

function queryOf(address: Address, kind: Kind): DocsQuery {
  if (kind === 'current') return { keys: [Ids.current(address)], include_docs: true }
  const { start, end } = Ids.versions(address)
  return { startkey: end, endkey: start, descending: true, limit: 1, include_docs: true }
}

/** The latest version of addresses, and the memory of them. */
export class Heads {
  readonly #known = new KnownHeads()

  constructor(private readonly queue: ReadQueue) {}

  /** In the order asked; undefined: not there. */
  async read(
    wanted: readonly { readonly address: Address; readonly kind: Kind }[],
  ): Promise<readonly (Head | undefined)[]> {
    const rows = await this.queue.read<VersionDocument>(
      wanted.map(({ address, kind }) => queryOf(address, kind)),
    )
    return wanted.map(({ address, kind }, i) => {
      const row: DocsRow<VersionDocument> | undefined = rows[i]?.[0]
      if (!row?.doc || row.value === undefined) {
        this.forget(address, kind)
        return undefined
      }
      const head = { version: versionOf(row.doc), rev: row.value.rev }
      this.remember(address, kind, head.version.n, head.rev)
      return head
    })
  }

  known(address: Address, kind: Kind): { readonly n: number; readonly rev?: string } | undefined {
    return this.#known.get(kind + addressId(address))
  }

  remember(address: Address, kind: Kind, n: number, rev?: string): void {
    this.#known.set(kind + addressId(address), kind === 'current' && rev !== undefined ? { n, rev } : { n })
  }

  forget(address: Address, kind: Kind): void {
    this.#known.forget(kind + addressId(address))
  }

  /** After the bucket was found gone: another of its name would have other heads. */
  clear(): void {
    this.#known.clear()
  }
}
