import type { Json } from './json'

/**
 * Every error that a caller of the platform may see. The key is the code on the wire (`{"v": "<code>", "s": "error"}`);
 * clients of the revived systems compare these strings, so a code is never renamed. `text` is public and says what is
 * wrong; `remedy` goes into docs/errors.md. The HTTP status of a code is not known here: server/status.ts maps it.
 */
export const CATALOGUE = {
  // engine: addresses and values
  bad_segment: {
    text: 'A path segment is not allowed.',
    remedy:
      'Segments are 1 to 255 bytes, not `.` or `..`, without control characters; at most 64 of them and 1,024 bytes in all.',
  },
  bad_key: {
    text: 'The key is not allowed.',
    remedy: 'A key is 1 to 512 bytes of any Unicode but control characters.',
  },
  bad_layer: {
    text: 'The layer name is not allowed.',
    remedy: 'A layer name is 1 to 128 bytes without control characters, `/` or a leading `^`.',
  },
  bad_layer_prefix: {
    text: 'This layer belongs to a service.',
    remedy: 'Layers that begin with `*` belong to services; give your own layers other names.',
  },
  bad_bucket_name: {
    text: 'The account name cannot be a bucket.',
    remedy: 'Choose a shorter account name; `sys` is reserved.',
  },
  bad_secondary_key: {
    text: 'A secondary key is not allowed.',
    remedy: '`k2`, `k3` and `k4` are strings that follow the rules of a key.',
  },
  bad_ttl: {
    text: 'The time to live is not allowed.',
    remedy: '`ttl` is a number of seconds, more than 0 and at most ten years.',
  },
  bad_range: {
    text: 'The time range is not understood.',
    remedy: 'Give `gs` and `ge` as Y[:M[:D[:h[:m[:s]]]]], UTC; `at` as unix milliseconds or ISO 8601.',
  },
  bad_cursor: {
    text: 'The cursor is not understood.',
    remedy: 'Pass a cursor back exactly as it was given, to the same listing or feed.',
  },
  cursor_expired: {
    text: 'What happened since this cursor is not kept any more.',
    remedy: 'Read what is there now, and watch from a cursor that a watch without `since` gives.',
  },
  bad_sample: {
    text: 'The sample is not allowed.',
    remedy: 'A sample is a finite number, or {sum, min, max, count}.',
  },
  value_missing: { text: 'The body lacks `v`.', remedy: 'Send a JSON object {"k": …, "v": …}.' },
  key_missing: {
    text: 'The key is missing.',
    remedy: 'Name the key: `k` in the body of a write, `?k=` elsewhere.',
  },
  not_found: {
    text: 'There is no such entry.',
    remedy:
      'Look at the listing of the path; deleted entries keep their history (`time_series=1`). Where `d` says that there is no such service or resource: docs/routes.md lists them.',
  },
  bucket_not_found: {
    text: 'The bucket does not exist.',
    remedy: 'The account was deleted, or its creation did not finish: create it again.',
  },
  version_conflict: {
    text: 'The entry has changed meanwhile.',
    remedy: 'Read the entry, apply your change to what it is now, and send its `_ver_`.',
  },
  precondition_failed: {
    text: 'The entry is not in the state that If-Match or If-None-Match asks for.',
    remedy: 'Read the entry and send its ETag in If-Match; `If-None-Match: *` only creates.',
  },
  _ver_missing: {
    text: 'An update needs the current `_ver_`.',
    remedy: 'Read the entry and send its `_ver_` inside `v`, or `_splat_` to overwrite whatever is there.',
  },
  idempotency_key_reused: {
    text: 'This Idempotency-Key belongs to another request.',
    remedy: 'Take a new key for each request, and the same one only to send the very same request again.',
  },
  idempotency_in_progress: {
    text: 'A request with this Idempotency-Key is under way.',
    remedy: 'Send it again after the seconds given in Retry-After: the answer is then that of the first.',
  },
  locked: { text: 'Another writer is busy with this entry.', remedy: 'Try again in a moment.' },
  key_exists: {
    text: 'Another live entry carries this secondary key.',
    remedy:
      'Secondary keys are unique per path, layer and slot: choose another value or remove the other entry.',
  },
  wrong_layer_kind: {
    text: 'The layer does not work that way.',
    remedy: 'Append to series layers, put to the others; only versioned layers have a history.',
  },
  // store
  store_unavailable: {
    text: 'The store cannot be reached.',
    remedy:
      'Try again after the seconds given in Retry-After. A write without an answer may or may not have happened.',
  },
  overloaded: { text: 'The server is busy.', remedy: 'Try again after the seconds given in Retry-After.' },
  reader_too_slow: {
    text: 'What was sent on this stream was not taken for too long, so it was ended.',
    remedy: 'Come back with the id of the last event (Last-Event-ID, or `since=`): nothing is lost.',
  },
  // who is asking
  unauthorized: {
    text: 'Not authorized.',
    remedy:
      'Check the user and the secret: `account:secret`, `account#sub:subsecret`, `account#sub:!accountsecret`, `account:admin#password`.',
  },
  forbidden: {
    text: 'This credential may not do that.',
    remedy: 'Use a credential of the account that the route asks for; docs/routes.md says which.',
  },
  too_many_requests: { text: 'Too many requests.', remedy: 'Wait for the seconds given in Retry-After.' },
  // the request
  bad_request: {
    text: 'The request is not understood.',
    remedy: 'Compare with docs/routes.md; the detail names the part that is wrong.',
  },
  bad_json: {
    text: 'The body is not acceptable JSON.',
    remedy:
      'Send UTF-8 JSON without duplicate names, deeper than 64 levels, or numbers that do not survive a round trip.',
  },
  body_too_large: { text: 'The body is too large.', remedy: 'A body may have 1 MiB.' },
  unsupported_media_type: {
    text: 'The body is not of a type that is read here.',
    remedy: 'Send application/json, uncompressed.',
  },
  method_not_allowed: {
    text: 'This service does not answer that method.',
    remedy: 'docs/routes.md lists the methods.',
  },
  internal: {
    text: 'Something went wrong on the server.',
    remedy: 'Tell the operator the request id (X-Request-Id); the log has the detail.',
  },
  // namespaces
  path_exists: { text: 'The namespace exists.', remedy: 'Nothing to do: it is there.' },
  no_namespace: { text: 'The namespace does not exist.', remedy: 'Create it first: PUT /_ns/<path>.' },
  // hosts and external services
  require_type_param: {
    text: 'The type of host is missing.',
    remedy: 'Say which: `?type=signal`, `?type=turn`.',
  },
  unrecognized_type_param: {
    text: 'There is no such type of host.',
    remedy: 'Ask for `signal`, `turn`, or the type of an external service that has registered.',
  },
  service_unavailable: {
    text: 'No host of this service can be reached.',
    remedy: 'Try again after the seconds given in Retry-After; the call was not made.',
  },
  service_failed: {
    text: 'The service took the call and did not answer it.',
    remedy:
      'The call may or may not have had its effect: look before you repeat it. The log of the service may say why.',
  },
  bad_address: {
    text: 'This is not an address that can be denied.',
    remedy:
      'Send an IPv4 or IPv6 address or a range such as 192.0.2.0/24 or 2001:db8::/32, and not one that you are calling from.',
  },
  // sessions
  root_must_be_object: {
    text: 'The document of a namespace is an object.',
    remedy: 'Send {"k": "<namespace>", "v": {…}}; put a list or a scalar into a property.',
  },
  invalid: {
    text: 'The document does not follow the schema of its namespace.',
    remedy:
      '`d` names the `path` in the document, the `rule` that it breaks and what is `expected`: GET /_sess/_schemas?k=<namespace> is the schema.',
  },
  bad_schema: {
    text: 'The schema cannot be used.',
    remedy:
      '`d` names the place in the schema (`path`) and what is wrong there; docs/sessions.md has the syntax.',
  },
  schema_in_use: {
    text: 'Another schema refers to this one.',
    remedy: 'Change or remove the schemas that `d` names first.',
  },
  // registry
  service_exists: {
    text: 'A service with this id, or this prefix, exists.',
    remedy: 'Take another id, or wait until the one that holds it has ended or timed out.',
  },
  bad_token: {
    text: 'The heartbeat token is not the one that was given last.',
    remedy:
      'Send the token of the last answer, each once. After a lost answer create the service or session anew.',
  },
  limit_reached: {
    text: 'The account has as many of these as it may have.',
    remedy: 'Remove some. The limits of the registry can be raised: PUT /_reg/limits by `$sys`.',
  },
  // accounts
  require_account_details: {
    text: 'The account details are missing.',
    remedy: 'Send {"k": "<name>", "v": {"email": …}}.',
  },
  bad_email: {
    text: 'The e-mail address is not valid.',
    remedy: 'Send an address such as lily@example.com.',
  },
  bad_username: {
    text: 'The user name is not allowed.',
    remedy:
      'It starts with a letter, has 4 to 64 characters: letters, digits, `_`, `-`. An administrator has 1 to 64 letters, digits, `_ . @ + -`, a letter or digit first.',
  },
  username_exists: { text: 'The user name is taken.', remedy: 'Choose another name.' },
  email_exists: {
    text: 'The e-mail address is taken.',
    remedy: 'Use another address, or look the account up with `?k2=<address>`.',
  },
  username_is_immutable: {
    text: 'A user name cannot be changed.',
    remedy: 'Leave `username` out, or create another account.',
  },
  require_password: {
    text: 'A password is required.',
    remedy: 'Send {"k": "<name>", "v": {"password": …}}.',
  },
  bad_password_format: {
    text: 'The password is not allowed.',
    remedy: 'A password has 4 to 256 characters without control characters and is not just blanks.',
  },
  bad_secret_format: {
    text: 'The secret is not allowed.',
    remedy: 'A secret has 8 to 256 printable ASCII characters, does not begin with `!` and contains no `#`.',
  },
} as const satisfies Record<string, { text: string; remedy: string }>

export type ErrorCode = keyof typeof CATALOGUE

/** What a caller may be told beside the code: scalars only, never a stack or a stored secret. */
export type ErrorFields = Readonly<Record<string, Json>>

export interface ErrorOptions {
  /** Told to the caller, in the catalogue's documentation of the code. */
  readonly fields?: ErrorFields
  /** For the operator's log only. */
  readonly detail?: string
  readonly cause?: unknown
  /** Seconds after which trying again makes sense; becomes Retry-After. */
  readonly retryAfter?: number
}

export class Kv4Error extends Error {
  readonly fields: ErrorFields
  readonly detail: string | undefined
  readonly retryAfter: number | undefined

  constructor(
    readonly code: ErrorCode,
    options: ErrorOptions = {},
  ) {
    super(CATALOGUE[code].text, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'Kv4Error'
    this.fields = options.fields ?? {}
    this.detail = options.detail
    this.retryAfter = options.retryAfter
  }
}

export function isKv4Error(error: unknown, code?: ErrorCode): error is Kv4Error {
  return error instanceof Kv4Error && (code === undefined || error.code === code)
}
