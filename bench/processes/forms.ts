import express, { Router } from 'express'
import type { NextFunction, Request, RequestHandler, Response } from 'express'
import { IncomingMessage, ServerResponse, createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { Passport } from 'passport'
import { BasicStrategy } from 'passport-http'

/**
 * Ways to have Express and passport in front of one job: check a Basic credential, dispatch on the first segment,
 * answer JSON. docs/decisions/0040-express-as-a-router-on-node-http.md.
 */
const value = { v: { email: 'lily@example.com', note: 'x'.repeat(160), _ver_: 'v1' }, s: 'ok' }
const user = { login: 'elena' }
const services = new Map([['_data', () => value]])

const passport = new Passport()
passport.use(
  new BasicStrategy((name, secret, done) =>
    done(null, name === 'elena' && secret === 'secret' ? user : false),
  ),
)
const authenticate = passport.authenticate('basic', { session: false }) as RequestHandler

function dispatch(url: string): unknown {
  const slash = url.indexOf('/', 1)
  return services.get(url.slice(1, slash))!()
}

function send(response: ServerResponse, answer: unknown): void {
  const text = JSON.stringify(answer)
  response.writeHead(200, [
    'Content-Type',
    'application/json',
    'Content-Length',
    String(Buffer.byteLength(text)),
  ])
  response.end(text)
}

const answer = (request: Request, response: Response) => send(response, dispatch(request.url))

const FORMS = {
  bare: () => createServer((_request, response) => send(response, value)),

  /** As it comes. */
  app() {
    const app = express()
    const router = Router().get('/{*path}', (_request, response) => void response.json(value))
    return createServer(app.use(authenticate).use('/_data', router))
  },

  /** The app given to a server whose constructors already have the app's prototypes. */
  prototypes() {
    const app = express().disable('x-powered-by').disable('etag').set('query parser', 'simple')
    function AppRequest(this: IncomingMessage, socket: Socket) {
      Reflect.apply(IncomingMessage as unknown as () => void, this, [socket])
    }
    AppRequest.prototype = app.request
    function AppResponse(this: ServerResponse, request: IncomingMessage, options: object) {
      Reflect.apply(ServerResponse as unknown as () => void, this, [request, options])
    }
    AppResponse.prototype = app.response
    const options = {
      IncomingMessage: AppRequest as unknown as typeof IncomingMessage,
      ServerResponse: AppResponse as unknown as typeof ServerResponse,
    }
    return createServer(options, app.use(authenticate).use(answer))
  },

  /** A router without an app, on node:http. */
  router() {
    const router = Router().use(authenticate).use(answer)
    return createServer((request, response) =>
      router(
        request as Request,
        response as Response,
        ((error: unknown) => {
          response.writeHead(error === undefined ? 404 : 500).end()
        }) as NextFunction,
      ),
    )
  },
}

const server = FORMS[process.argv[2] as keyof typeof FORMS]()
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`)
})
process.on('SIGTERM', () => process.exit(0))
