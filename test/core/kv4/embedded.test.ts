import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openEmbeddedStore } from '../../../core/store/embedded'
import { engineContract } from './contract'
import type { EngineFactory } from './contract/bench'
import { modelSuite } from './model'

function embeddedEngine(): EngineFactory {
  let directory = ''
  return {
    async make() {
      directory = await mkdtemp(join(tmpdir(), 'kv4-engine-'))
      return openEmbeddedStore({
        directory,
        onFatal: (error) => {
          throw error
        },
      })
    },
    async dispose() {
      await rm(directory, { recursive: true, force: true })
    },
  }
}

engineContract('embedded', embeddedEngine())
modelSuite('embedded', embeddedEngine(), { runs: 150, commands: 40 })
