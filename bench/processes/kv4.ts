import { readConfig } from '../../server/config'
import { startServer } from '../../server/start'

/** The server under measurement: configured by its environment, as ever. */
async function main(): Promise<void> {
  const server = await startServer(readConfig(process.env))
  process.on('SIGTERM', () => void server.close().then(() => process.exit(0)))
  process.stdout.write(`ready ${server.port}\n`)
}

void main()
