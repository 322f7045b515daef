/** The user that a target names, by himself or at the end of a path: contract §2. */
export function lastSegment(target: string): string {
  return target.slice(target.lastIndexOf('/') + 1)
}
