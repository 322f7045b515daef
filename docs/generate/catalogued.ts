import {
  ClusterKey,
  Pepper,
  createAccountEnds,
  createBanEnds,
  createBans,
  createKeepers,
  createTokenKeeper,
} from '../../auth'
import type { Bucket, Engine } from '../../core'
import { CATALOG, MOUNTS } from '../../services/catalog'
import type { Service, ServiceContext } from '../../services/module'
import type { Mount } from '../../services/mount'

/** Services may hold on to the engine, and to a handle on a bucket, when they are made; only running ones use them. */
const NO_ENGINE = new Proxy({} as Engine, {
  get(_, member) {
    if (member === 'bucket') return () => NO_BUCKET
    throw new Error(`a service that is only described uses engine.${String(member)}`)
  },
})

const NO_BUCKET = new Proxy({} as Bucket, {
  get(_, member) {
    throw new Error(`a service that is only described uses bucket.${String(member)}`)
  },
})

/** Every service and mount of the catalogue as a value, made without a store: to be described, not run. */
export function catalogued(): { readonly services: readonly Service[]; readonly mounts: readonly Mount[] } {
  const pepper = new Pepper('only describes, hashes nothing')
  const context: ServiceContext = {
    engine: NO_ENGINE,
    node: 'docs',
    epoch: 'docs',
    keepers: createKeepers({ pepper }),
    tokens: createTokenKeeper({ engine: NO_ENGINE, pepper }),
    bans: createBans(NO_ENGINE),
    banEnds: createBanEnds(createBans(NO_ENGINE)),
    accountEnds: createAccountEnds(NO_ENGINE),
    watches: { open: () => Promise.reject(new Error('nothing is watched here')) },
    stats: { record: () => undefined },
    cluster: new ClusterKey(pepper),
    dial() {
      throw new Error('a service that is only described opens no sockets')
    },
    external: {
      isOwn: () => false,
      checkUrl: async () => undefined,
      callerKey: () => '',
      call() {
        throw new Error('a service that is only described calls no others')
      },
    },
    webhooks: {
      check: async () => undefined,
      post() {
        throw new Error('a service that is only described sends nothing')
      },
      secret: () => Buffer.alloc(32),
      retriesMs: [],
      timeoutMs: 1,
      leaseMs: 1,
    },
  }
  return {
    services: CATALOG.map((factory) => factory(context)),
    mounts: MOUNTS.map((factory) => factory(context)),
  }
}
