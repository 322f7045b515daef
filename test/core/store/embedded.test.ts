import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkInvariants, openEmbeddedStore } from '../../../core/store/embedded'
import type { EmbeddedStore } from '../../../core/store/embedded'
import { storeContract } from './contract'

function fatal(error: Error): never {
  throw error
}

const directory = mkdtempSync(join(tmpdir(), 'kv4-embedded-'))
let store: EmbeddedStore
const open = async () => (store = await openEmbeddedStore({ directory, onFatal: fatal }))

storeContract('embedded', {
  make: open,
  async reopen() {
    await store.close()
    return open()
  },
  async dispose() {
    expect(checkInvariants(store)).toEqual([])
    await store.collector.idle()
    await store.close()
    rmSync(directory, { recursive: true })
  },
})
