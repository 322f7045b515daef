import type { ActiveHost } from '../active-hosts'

/** One of those with the least load, at random. undefined: there are none. */
export function leastLoaded(hosts: readonly ActiveHost[]): ActiveHost | undefined {
  const least = Math.min(...hosts.map(({ load }) => load))
  const idle = hosts.filter(({ load }) => load === least)
  return idle[Math.floor(Math.random() * idle.length)]
}
