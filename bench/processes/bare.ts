import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * The measure of all: node:http and nothing else. Reads the body that comes, answers JSON of as many bytes as asked,
 * with the headers that JSON needs.
 */
const bytes = Number(process.argv[2])
const text = JSON.stringify({ v: 'x'.repeat(Math.max(0, bytes - '{"v":"","s":"ok"}'.length)), s: 'ok' })
const value = JSON.parse(text) as unknown

const server = createServer((request, response) => {
  const answer = () => {
    const body = JSON.stringify(value)
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) })
    response.end(body)
  }
  if (request.method === 'GET') {
    answer()
    return
  }
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    JSON.parse(Buffer.concat(chunks).toString('utf8'))
    answer()
  })
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`)
})
process.on('SIGTERM', () => process.exit(0))
