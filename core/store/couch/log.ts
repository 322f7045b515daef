/** The part of a pino logger that the adapter uses. */
export interface CouchLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export const SILENT: CouchLog = { info: () => undefined, warn: () => undefined }
