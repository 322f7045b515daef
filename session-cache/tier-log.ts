/** Where a tier tells its operator what happened: never a value of a session, never a secret. */
export type TierLog = (
  level: 'info' | 'warn',
  message: string,
  fields?: Readonly<Record<string, unknown>>,
) => void
