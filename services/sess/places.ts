import { Key, Kv4Error, Layer, Path, type Address, type LayerDeclaration } from '../../core'

/**
 * Where a session lies. A session is a path, a namespace in it a key, so that a session's namespaces are listed, watched
 * and read back in time as the entries of any path are.
 *
 *   *sess            /<session>   <namespace>   its document, with all versions
 *   *sess:life       /<session>   life          how long the session lives: {ttl, until, ends}; no history, as it is
 *                                               rewritten by mere reads
 *   *sess:schemas    /            <name>        a schema, with all versions
 *   *sess:settings   /            sessions      what the account has set
 *
 * A document of a session that has a life carries a far `exp` of its own, which says that it ends with its session.
 */
export const SESSIONS = Layer.parse('*sess')
export const LIVES = Layer.parse('*sess:life')
export const SCHEMAS = Layer.parse('*sess:schemas')
export const SETTINGS = Layer.parse('*sess:settings')

export const LAYERS: readonly LayerDeclaration[] = [
  { name: SESSIONS, kind: 'versioned', watchable: true },
  { name: LIVES, kind: 'current' },
  { name: SCHEMAS, kind: 'versioned' },
  { name: SETTINGS, kind: 'versioned' },
]

/** Native URLs of their own, so no sessions. */
export const SCHEMAS_AT = '/_schemas'
export const SETTINGS_AT = '/_settings'

const LIFE = Key.parse('life')

export const SETTINGS_ADDRESS: Address = { layer: SETTINGS, path: Path.root, key: Key.parse('sessions') }

/** @throws bad_segment for the root, at which there is no session */
export function sessionPath(path: Path): Path {
  if (path === Path.root)
    throw new Kv4Error('bad_segment', { fields: { reason: 'the root is not a session' } })
  return path
}

export function lifeAddress(session: Path): Address {
  return { layer: LIVES, path: session, key: LIFE }
}
