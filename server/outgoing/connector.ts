import { isIP } from 'node:net'
import { buildConnector } from 'undici'
import type { Destinations } from './destinations'

const CONNECT_TIMEOUT_MS = 3_000

/** No connection came about: the call has not been sent. */
export class ConnectError extends Error {
  constructor(cause: unknown) {
    super('no connection', { cause })
    this.name = 'ConnectError'
  }
}

/** Connects only to addresses that are allowed at this moment; a literal address is looked at too. */
export function checkedConnector(destinations: Destinations): buildConnector.connector {
  const connect = buildConnector({ timeout: CONNECT_TIMEOUT_MS })
  return (options, callback) => {
    destinations.resolve(options.hostname).then(
      (address) => {
        connect(
          {
            ...options,
            hostname: address,
            // What the certificate has to be for; of an address that is the address.
            ...(isIP(options.hostname.replace(/^\[|\]$/g, '')) === 0 && { servername: options.hostname }),
          },
          (...[error, socket]) => {
            if (error !== null) callback(new ConnectError(error), null)
            else callback(null, socket)
          },
        )
      },
      (error: unknown) => callback(new ConnectError(error), null),
    )
  }
}
