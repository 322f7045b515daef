import { SETTINGS, SETTING_NAMES, type Setting, flagOf } from '../../server/config'
import { type Page, notice, table } from './page'

const INTRODUCTION = `# Configuration

Every name is an environment variable and a flag of \`kv4 serve\`; a flag wins. A name that is not in this table stops the
start. \`kv4 config\` prints what is in force, without secrets.
`

const CLIENT = `## The command line client

| Name | Meaning |
|---|---|
| \`KV4_URL\` | The server that the commands ask: \`http://127.0.0.1:4006\`. |
| \`KV4_USER\` | Credential, \`user:secret\`. |
| \`KV4_PROFILE\` | Profile of \`~/.kv4/profiles.json\`; wins over the two above. |
`

/** docs/configuration.md: every setting with its flag, default and meaning. */
export const configuration: Page = {
  file: 'configuration.md',
  render() {
    const rows = SETTING_NAMES.map((name) => {
      const setting: Setting = SETTINGS[name]
      const standard = setting.default === undefined ? setting.unset! : '`' + setting.default + '`'
      const meaning =
        setting.secret === true ? `${setting.meaning} A secret: never printed.` : setting.meaning
      return [`\`${name}\``, `\`${flagOf(name)}\``, standard, meaning]
    })
    return [
      notice('server/config.ts'),
      INTRODUCTION,
      table(['Name', 'Flag', 'Default', 'Meaning'], rows),
      CLIENT,
    ].join('\n')
  },
}
