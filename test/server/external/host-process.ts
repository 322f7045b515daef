import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A host of an external service as a process: each call takes it 5 ms. */
const server = createServer((request, response) => {
  request.resume()
  request.on('end', () =>
    setTimeout(() => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ v: { pid: process.pid }, s: 'ok' }))
    }, 5),
  )
})
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo
  process.send!({ url: `http://127.0.0.1:${port}` })
})
// Whoever started it is gone.
process.on('disconnect', () => process.exit())
