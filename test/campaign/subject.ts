/**
 * What a campaign drives and then questions: the store itself, or whatever stands on it. Buckets and keys are plain
 * names; every write resolves only when it is acknowledged.
 */
export interface Subject {
  /** Adds a version to a key, behind whatever is there. Resolves with its number. */
  put(key: string, value: string): Promise<number>
  /** Adds a deletion. Resolves with its number. */
  remove(key: string): Promise<number>
  /** Replaces the current entry of a key. Resolves with its number. */
  beat(key: string, value: string): Promise<number>
  append(key: string, id: string, value: string): Promise<void>
  create(bucket: string): Promise<void>
  drop(bucket: string): Promise<void>

  /** All versions of a key, oldest first; a deletion's value is null. */
  history(key: string): Promise<readonly Recorded[]>
  current(key: string): Promise<Recorded | undefined>
  /** id -> value. */
  samples(key: string): Promise<ReadonlyMap<string, string>>
  buckets(): Promise<ReadonlySet<string>>
  /** What contradicts within the data; empty when all is well. */
  problems(): Promise<readonly string[]>
  close(): Promise<void>
}

export interface Recorded {
  readonly n: number
  readonly value: string | null
}

/** Opens, or makes, the subject in a directory. `onFatal`: the disk failed, nothing may be acknowledged any more. */
export type OpenSubject = (directory: string, onFatal: (error: Error) => void) => Promise<Subject>
