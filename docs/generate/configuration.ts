import { SETTINGS, SETTING_NAMES, type Setting, flagOf } from '../../server/settings'
import { type Page, notice, table } from './page'

const INTRODUCTION = `# Configuration

Every name is an environment variable and a flag of \`kv4 serve\`; a flag wins. A name that is not in this table stops the
start. \`kv4 config\` prints what is in force, without secrets.
`

const COUCHDB = `## A new release on CouchDB

Each release asks views of its own, in a design document \`_design/kv4-…\` that is named by their content and that it makes
in each database \`kv4_…_data\`. Those of an earlier release stay, so that nodes of two releases can work on one bucket.

- **After an upgrade that changes the views** the first listing of a large bucket waits until CouchDB has built them, minutes
  for a million documents. Calls that need them answer [store_unavailable](errors.md#store_unavailable) with Retry-After
  meanwhile.
- **When no node of the earlier release is left**, remove its views: until then CouchDB goes on updating them with what is
  written, and their files stay on the disk. A bucket that the new release has made has the document in use alone; in each
  database \`DELETE\` the other \`_design/kv4-…\` (\`GET /{db}/_design_docs\` names them with their revisions), then
  \`POST /{db}/_view_cleanup\` (with \`Content-Type: application/json\`): it removes the files to which no design document
  refers any more, and only those.
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
      notice('server/settings.ts'),
      INTRODUCTION,
      table(['Name', 'Flag', 'Default', 'Meaning'], rows),
      COUCHDB,
      CLIENT,
    ].join('\n')
  },
}
