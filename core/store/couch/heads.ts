import { type Address, addressId } from '../../kv4/address'
import type { Version } from '../../kv4/version'
import type { CouchDatabase, DocsQuery, DocsRow } from './couch-database'
import { type VersionDocument, versionOf } from './documents'
import { Ids } from './ids'
import { type HeadsBudget, KnownHeads } from './known-heads'
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

/**
 * The latest version of addresses, and the memory of them.
 *
 * `_all_docs` reads one copy, which in a cluster may lack what a quorum has acknowledged. There what it says is
 * followed up by a quorum's reading of the next number, until there is none.
 */
export class Heads {
  readonly #known: KnownHeads

  constructor(
    private readonly database: CouchDatabase,
    private readonly queue: ReadQueue,
    budget: HeadsBudget,
  ) {
    this.#known = new KnownHeads(budget)
  }

  /** In the order asked; undefined: not there. */
  async read(
    wanted: readonly { readonly address: Address; readonly kind: Kind }[],
  ): Promise<readonly (Head | undefined)[]> {
    const rows = await this.queue.read<VersionDocument>(
      wanted.map(({ address, kind }) => queryOf(address, kind)),
    )
    const found = wanted.map((_, i): Head | undefined => {
      const row: DocsRow<VersionDocument> | undefined = rows[i]?.[0]
      return row?.doc && row.value ? { version: versionOf(row.doc), rev: row.value.rev } : undefined
    })
    if (this.database.client.clustered) await this.#followUp(wanted, found)
    wanted.forEach(({ address, kind }, i) => {
      const head = found[i]
      if (head === undefined) this.forget(address, kind)
      else this.remember(address, kind, head.version.n, head.rev)
    })
    return found
  }

  async #followUp(
    wanted: readonly { readonly address: Address; readonly kind: Kind }[],
    found: (Head | undefined)[],
  ): Promise<void> {
    let open = wanted.map((_, i) => i)
    while (open.length > 0) {
      const rows = await this.database.docs<VersionDocument>(
        open.map((i) => {
          const { address, kind } = wanted[i]!
          return kind === 'current'
            ? Ids.current(address)
            : Ids.version(address, (found[i]?.version.n ?? 0) + 1)
        }),
      )
      open = open.filter((i, asked) => {
        const { doc: document } = rows[asked]!
        const current = wanted[i]!.kind === 'current'
        if (document) found[i] = { version: versionOf(document), rev: document._rev! }
        else if (current) found[i] = undefined
        return !!document && !current
      })
    }
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

  /** After the bucket was found gone (another of its name would have other heads), or when it is closed. */
  clear(): void {
    this.#known.clear()
  }
}
