import { Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * The open connections of a server. From now on none of them is ended for being idle, by `close` neither, as long as an
 * answer waits for its reader on any: node takes it for done, and its connection for idle, once its end is written.
 */
export function connectionsOf(server: Server): ReadonlySet<Socket> {
  const open = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  server.closeIdleConnections = () => {
    for (const { writableLength } of open) if (writableLength > 0) return
    Server.prototype.closeIdleConnections.call(server)
  }
  return open
}
