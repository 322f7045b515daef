import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

/** What signalling is measured against: every frame goes to every other socket, and nothing else is done. */
const server = createServer()
const relay = new WebSocketServer({ server, perMessageDeflate: false })
relay.on('connection', (socket) => {
  socket.on('message', (data, binary) => {
    for (const other of relay.clients) if (other !== socket) other.send(data, { binary })
  })
})
server.listen(0, '127.0.0.1', 8_192, () => {
  process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`)
})
process.on('SIGTERM', () => process.exit(0))
