import { Path } from '../../core'
import { invalidParameter, isConfigurationId } from './rules'

/** Where a configuration value stands among the platform's paths: the namespace is the path, the name is `k`. */
export interface ConfigurationName {
  readonly path: Path
  readonly k: string
}

/**
 * `/production/cassandra` and `listen_ip` of the id that both make. An id whose namespace is no path as paths are
 * written (`/name`, `/abc//name`) is a name at the root, as it is. So each value has one name, which leads to no other.
 */
export function configurationName(id: string): ConfigurationName {
  const end = id.lastIndexOf('/')
  const namespace = id.slice(0, Math.max(0, end))
  const path = Path.parse(namespace)
  return path === namespace ? { path, k: id.slice(end + 1) } : { path: Path.root, k: id }
}

/**
 * The id of the value with that name.
 * @throws bad_request for what is no id, or is another value's name: what is denied a path must not be reached by `k`
 */
export function configurationId(path: Path, k: string): string {
  const id = path === Path.root ? k : `${path}/${k}`
  if (!isConfigurationId(id) || id.endsWith('/') || configurationName(id).path !== path)
    throw invalidParameter('k')
  return id
}
