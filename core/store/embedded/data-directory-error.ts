/**
 * - `data_dir_in_use`: another process has the directory open, or this one has, a second time;
 * - `data_dir_newer`: written by a later version of this program;
 * - `data_dir_unreadable`: what is there was not written by this program.
 */
export type DataDirectoryCode = 'data_dir_in_use' | 'data_dir_newer' | 'data_dir_unreadable'

const TEXT: Record<DataDirectoryCode, string> = {
  data_dir_in_use: 'is in use: one process at a time',
  data_dir_newer: 'was written by a newer version of kv4',
  data_dir_unreadable: 'does not hold data of kv4',
}

/** Why a data directory cannot be opened. For the operator: it stops the start, no caller of the platform sees it. */
export class DataDirectoryError extends Error {
  constructor(
    readonly code: DataDirectoryCode,
    readonly directory: string,
    readonly detail: string,
    cause?: unknown,
  ) {
    super(
      `the data directory ${directory} ${TEXT[code]} (${detail})`,
      cause === undefined ? undefined : { cause },
    )
    this.name = 'DataDirectoryError'
  }
}
