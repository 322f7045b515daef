/**
 * Where an entry is that people name as one: the last part is its key, what is before it the path of the service.
 *
 *     /shop/orders/told   path /_hooks/shop/orders, k told
 */
export function entryAddress(prefix: string, id: string): { readonly path: string; readonly k: string } {
  const slash = id.lastIndexOf('/')
  return slash < 0
    ? { path: prefix, k: id }
    : { path: prefix + absolute(id.slice(0, slash)), k: id.slice(slash + 1) }
}

export function absolute(path: string): string {
  return path.startsWith('/') ? path : `/${path}`
}
