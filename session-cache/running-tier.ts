export interface RunningTier {
  readonly tier: 'relay' | 'sibling' | 'relief'
  /** Where it listens; a relief server does not, a socket of the file system has a path. */
  readonly port?: number
  readonly path?: string
  close(): Promise<void>
}
