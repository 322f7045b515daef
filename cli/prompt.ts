import { usage } from './failure'

/**
 * Asks on the terminal and does not show what is typed.
 * @throws CliFailure when there is no terminal, or the user gives up with Ctrl-C
 */
export function promptSecret(question: string): Promise<string> {
  const { stdin, stderr } = process
  if (!stdin.isTTY || !stderr.isTTY)
    return Promise.reject(
      usage(
        'the secret is missing, and there is no terminal to ask for it',
        'Give it in --user-file, in KV4_USER, or in a profile.',
      ),
    )
  return new Promise((resolve, reject) => {
    let typed = ''
    stderr.write(question)
    stdin.setRawMode(true)
    stdin.setEncoding('utf8')
    stdin.resume()
    const end = () => {
      stdin.off('data', read)
      stdin.setRawMode(false)
      stdin.pause()
      stderr.write('\n')
    }
    const read = (chunk: string) => {
      for (const character of chunk) {
        if (character === '\r' || character === '\n' || character === '\u0004') {
          end()
          resolve(typed)
          return
        }
        if (character === '\u0003') {
          end()
          reject(usage('given up'))
          return
        }
        if (character === '\u007f' || character === '\b') typed = [...typed].slice(0, -1).join('')
        else typed += character
      }
    }
    stdin.on('data', read)
  })
}
