import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { SecureContextOptions } from 'node:tls'
import type { ClientTls, ServerTls } from './configuration'

/** What a server shows, and whose certificates it accepts when it asks its clients for theirs. */
export function serverTls(
  tls: ServerTls,
  base: string,
): SecureContextOptions & { requestCert: boolean; rejectUnauthorized: boolean } {
  return {
    key: read(base, tls.server_key),
    cert: read(base, tls.server_cert),
    ...(tls.client_cert === undefined ? {} : { ca: readAll(base, tls.client_cert) }),
    requestCert: tls.client_cert !== undefined,
    rejectUnauthorized: tls.client_cert !== undefined,
    minVersion: 'TLSv1.2',
  }
}

/**
 * What a client shows, and the certificates that it takes for its server's. They are named one by one in its own
 * configuration, so the host name in them is not compared, as in the original.
 */
export function clientTls(
  tls: ClientTls,
  base: string,
): SecureContextOptions & { rejectUnauthorized: true; checkServerIdentity: () => undefined } {
  const key = tls.client_key ?? tls.server_key
  return {
    ...(key === undefined ? {} : { key: read(base, key) }),
    ...(tls.client_cert === undefined ? {} : { cert: read(base, tls.client_cert) }),
    ca: readAll(base, tls.server_cert),
    rejectUnauthorized: true,
    checkServerIdentity: () => undefined,
    minVersion: 'TLSv1.2',
  }
}

function readAll(base: string, files: string | readonly string[]): Buffer[] {
  return (typeof files === 'string' ? [files] : files).map((file) => read(base, file))
}

function read(base: string, file: string): Buffer {
  return readFileSync(resolve(base, file))
}
