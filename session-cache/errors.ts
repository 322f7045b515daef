/** What may go wrong here, and what to do about it; docs/session-cache.md lists the same. */
export const SESSION_CACHE_ERRORS = {
  bad_key: 'A session key is a string of 1 to 512 bytes, without U+0000 to U+0004.',
  value_too_large: 'The value is larger than `record_size`: raise it in every configuration of this table.',
  table_missing:
    'No process with `manage_section: true` (or `am_initializer`) has made the table yet: start that one first.',
  table_failed: 'The table could not be written: look whether its file system is full.',
  unsafe_directory:
    'The directory of the table belongs to somebody else or others may read it: name another one in `cache.directory`.',
  bad_configuration: 'The configuration is not understood.',
  insecure_listener:
    'This address can be reached from other machines: configure `tls` with `client_cert`, or a `secret` (or say `"insecure": true`).',
  malformed_frame: 'The other end sent something that is not a JSON object.',
  frame_too_large: 'A frame is larger than `limits.frame_bytes`.',
  not_connected: 'There is no connection to the relay, or it ended before the answer came.',
  too_many_pending: 'Too many requests wait for the relay.',
  timeout: 'The relay did not answer in time.',
  closed: 'This cache was closed.',
  last_tier: 'KV4 did not accept or answer the request.',
} as const

export type SessionCacheErrorCode = keyof typeof SESSION_CACHE_ERRORS

export class SessionCacheError extends Error {
  constructor(
    readonly code: SessionCacheErrorCode,
    readonly detail?: string,
    cause?: unknown,
  ) {
    super(
      SESSION_CACHE_ERRORS[code] + (detail === undefined ? '' : ` (${detail})`),
      cause === undefined ? undefined : { cause },
    )
    this.name = 'SessionCacheError'
  }
}
