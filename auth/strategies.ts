import type { IncomingMessage } from 'node:http'
import passport from 'passport'
import { BasicStrategy } from 'passport-http'
import { Kv4Error, isKv4Error } from '../core'
import type { Authentication } from './authentication'
import type { Principal } from './principal'

const REALM = 'kv4'

export const CHALLENGE = `Basic realm="${REALM}", charset="UTF-8"`

/** Whose address is counted when logins fail; the server decides what a proxy may say about it. */
export type AddressOf<Request> = (request: Request) => string | undefined

/**
 * passport-http's strategy under its name `basic`, with our own reading of the header: passport-http's cuts the
 * password at its second `:`, takes schemes such as `XBasicY`, and answers malformed headers in another way than
 * wrong ones.
 */
export class StrictBasicStrategy<Request extends IncomingMessage = IncomingMessage> extends BasicStrategy {
  // Given by passport to the copy that it makes for each request.
  declare readonly success: (principal: Principal) => void
  declare readonly fail: (challenge: string, status: number) => void
  declare readonly error: (error: unknown) => void

  constructor(
    private readonly authentication: Authentication,
    private readonly addressOf: AddressOf<Request> = (request) => request.socket.remoteAddress,
  ) {
    super({ realm: REALM, passReqToCallback: true }, (_request, _user, _password, done) => done(null, false))
  }

  override authenticate(request: unknown): void {
    const asked = request as Request
    this.authentication.authenticate(asked.headers, this.addressOf(asked)).then(
      (principal) => this.success(principal),
      (error: unknown) => {
        if (isKv4Error(error, 'unauthorized')) this.fail(CHALLENGE, 401)
        else this.error(error)
      },
    )
  }
}

/** A middleware of connect's form, as passport makes them. */
export type Handler<Request> = (request: Request, response: unknown, next: (error?: unknown) => void) => void

/**
 * `passport.authenticate('basic', {session: false})` that leaves answering to the app: `next(Kv4Error)` when
 * it fails, the principal as `request.user` when it does not.
 */
export function basicAuthentication<Request extends IncomingMessage & { user?: Principal }>(
  authentication: Authentication,
  addressOf?: AddressOf<Request>,
): Handler<Request> {
  const authenticator = new passport.Passport()
  authenticator.use(new StrictBasicStrategy(authentication, addressOf) as passport.Strategy)
  return (request, response, next) => {
    const handler = authenticator.authenticate(
      'basic',
      { session: false },
      (error: unknown, principal: Principal | false | null | undefined) => {
        if (error) return next(error)
        if (!principal) return next(new Kv4Error('unauthorized'))
        request.user = principal
        next()
      },
    ) as Handler<Request>
    handler(request, response, next)
  }
}
