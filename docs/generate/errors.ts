import { CATALOGUE } from '../../core'
import type { ErrorCode } from '../../core'
import { statusOf } from '../../server/status'
import { type Page, notice } from './page'

const INTRODUCTION = `# Errors

An error answers \`{"v": "<code>", "s": "error"}\`, with \`"d": {…}\` where there is more to say (which parameter, which
rule). The code never changes; the words here may. The status is the one under \`KV4_STATUS=rest\`; under
\`KV4_STATUS=always200\` it is 200 for all of them.
`

/** docs/errors.md: a heading for each code, what it means and what to do. */
export const errors: Page = {
  file: 'errors.md',
  render() {
    const codes = Object.entries(CATALOGUE) as [ErrorCode, (typeof CATALOGUE)[ErrorCode]][]
    const sections = codes.map(
      ([code, { text, remedy }]) =>
        `## ${code}\n\n${text} Status ${statusOf(code)}.\n\n**What to do:** ${remedy}\n`,
    )
    return [notice('core/errors.ts and server/status.ts'), INTRODUCTION, ...sections].join('\n')
  },
}
