/** What a program needs to be an external service of the platform: `import { CallerVerifier } from 'kv4/service'`. */
export { CALLER_HEADER, TOKEN_HEADER } from './caller'
export type { Caller } from './caller'
export { HostPresence } from './host-presence'
export type { HostPresenceOptions, HostRegistration } from './host-presence'
export { signCaller } from './sign-caller'
export { CallerError, CallerVerifier, verifyCaller } from './verify-caller'
export type { CalledRequest, VerifyOptions } from './verify-caller'
