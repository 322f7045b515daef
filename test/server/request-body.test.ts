import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect } from 'node:net'
import type { AddressInfo } from 'node:net'
import { CallerGone, readRawBody, readRequestBody } from '../../server/request-body'

/** What reading its body comes to, begun when the caller of a whole request has gone. */
async function readLate(
  read: (request: IncomingMessage, response: ServerResponse) => Promise<unknown>,
): Promise<unknown> {
  const server = createServer().listen(0, '127.0.0.1')
  try {
    await once(server, 'listening')
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.write(
      'POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
    )
    const [request, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse]
    socket.destroy()
    await once(response, 'close')
    return await read(request, response)
  } finally {
    server.close()
  }
}

test.each([
  ['raw', (request, response) => readRawBody(request, response, 100)],
  ['JSON', readRequestBody],
] satisfies [string, Parameters<typeof readLate>[0]][])(
  'a body that is read as %s when its sender has gone says so, and is not waited for',
  async (_form, read) => {
    await expect(readLate(read)).rejects.toBeInstanceOf(CallerGone)
  },
)
