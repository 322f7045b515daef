import pino from 'pino'
import { isKv4Error } from '../core'
import type { Config } from './config'

export type Log = pino.Logger

// Members that hold a secret whatever they hang from.
const SECRET_NAMES = ['authorization', 'password', 'secret', 'pepper', 'token', 'cookie', 'sysSecret']
const REDACT = SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`])

/** Takes credentials out of free text: what follows an authorization scheme, and user:password@ in URLs. */
export function scrub(text: string): string {
  return text
    .replace(/\b(Basic|Bearer)\s+[A-Za-z0-9+/_.~=-]+/gi, '$1 [redacted]')
    .replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@"']+@/gi, '$1[redacted]@')
}

interface LoggedError {
  readonly type: string
  readonly message: string
  readonly code?: string
  readonly detail?: string
  readonly stack?: string
  readonly cause?: LoggedError
}

/**
 * The parts of an error that are safe to keep. Libraries hang requests with their headers on errors, so nothing else
 * is copied.
 */
export function loggedError(error: unknown, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { type: typeof error, message: scrub(String(error)) }
  const code = (error as { code?: unknown }).code
  return {
    type: error.name,
    message: scrub(error.message),
    ...(typeof code === 'string' ? { code } : {}),
    ...(isKv4Error(error) && error.detail !== undefined ? { detail: scrub(error.detail) } : {}),
    ...(error.stack === undefined ? {} : { stack: scrub(error.stack) }),
    ...(error.cause === undefined || depth >= 4 ? {} : { cause: loggedError(error.cause, depth + 1) }),
  }
}

/**
 * JSON lines on standard output, or on `destination`. Written at once, so that the last line before an exit is there.
 */
export function createLog(
  config: Pick<Config, 'logLevel' | 'node'>,
  destination: pino.DestinationStream = pino.destination({ fd: 1, sync: true }),
): Log {
  return pino(
    {
      level: config.logLevel,
      base: { node: config.node },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACT, censor: '[redacted]' },
      serializers: { err: loggedError, error: loggedError },
      hooks: {
        logMethod(args, method) {
          method.apply(
            this,
            args.map((arg: unknown) => (typeof arg === 'string' ? scrub(arg) : arg)) as typeof args,
          )
        },
      },
    },
    destination,
  )
}
