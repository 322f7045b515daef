import { Command } from 'commander'
import { DEFAULT_URL, parseUrl } from './destination'
import { usage } from './failure'
import { type LoginOptions, parseLogin, printLogin, readLogin } from './login'
import { Profiles } from './profiles'

interface SetOptions extends LoginOptions {
  readonly url: string
  readonly default?: boolean
}

/** `kv4 profile set|list|remove`: servers and credentials under a name. */
export function profileCommand(): Command {
  const command = new Command('profile').description('servers and credentials under a name').addHelpText(
    'after',
    `
Profiles are kept in ~/.kv4/profiles.json, which only you may read. The first one is the default.

Examples:
  kv4 profile set local --user '$sys'          asks for the secret
  kv4 profile set lily --url https://kv4.example.com --user-file lily.txt
  kv4 get /_ds --profile lily`,
  )

  command
    .command('set')
    .description('make or replace a profile')
    .argument('<name>')
    .option('--url <url>', 'server', DEFAULT_URL)
    .option('-u, --user <user:secret>', 'credential; without the secret it is asked for')
    .option('--user-file <file>', 'file whose first line is user:secret')
    .option('--default', 'use it where no profile is named')
    .action(async (name: string, options: SetOptions) => {
      const profiles = await Profiles.load()
      const url = parseUrl(options.url)
      const login = await readLogin(options)
      profiles.set(
        name,
        { url, ...(login === undefined ? {} : { user: printLogin(login) }) },
        options.default === true,
      )
      profiles.save()
    })

  command
    .command('list')
    .description('show the profiles, without their secrets')
    .action(async () => {
      const profiles = await Profiles.load()
      for (const [name, { url, user }] of profiles.list()) {
        const login = user === undefined ? undefined : parseLogin(user)
        const shown = login === undefined ? '(nobody)' : typeof login === 'string' ? login : login.user
        process.stdout.write(`${name === profiles.default ? '*' : ' '} ${name}\t${url}\t${shown}\n`)
      }
    })

  command
    .command('remove')
    .description('forget a profile')
    .argument('<name>')
    .action(async (name: string) => {
      const profiles = await Profiles.load()
      if (!profiles.remove(name)) throw usage(`there is no profile ${JSON.stringify(name)}`)
      profiles.save()
    })
  return command
}
