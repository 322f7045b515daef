import type { BucketStore, Store } from '../../../core/store/store'

/** `target`, but for the members that `own` has in their place. */
function overridden<T extends object>(target: T, own: Partial<T>): T {
  return new Proxy(target, {
    get(_target, member) {
      const value = Reflect.get(member in own ? own : target, member) as unknown
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** A real store of which some is seen, held up, or said of itself otherwise. */
export function overriddenStore(
  store: Store,
  own: Partial<Store>,
  ofBucket: (handle: BucketStore) => Partial<BucketStore>,
): Store {
  return overridden(store, {
    open: async (bucket) => {
      const handle = await store.open(bucket)
      return overridden(handle, ofBucket(handle))
    },
    ...own,
  })
}
