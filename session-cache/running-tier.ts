export interface RunningTier {
  readonly tier: 'relay' | 'sibling' | 'relief'
  /** Where it listens; a relief server does not. */
  readonly port?: number
  close(): Promise<void>
}
