import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CATALOGUE } from '../core'
import { catalogued } from '../docs/generate/catalogued'
import { PAGES } from '../docs/generate/pages'
import { SETTING_NAMES } from '../server/config'

const read = (file: string): string => readFileSync(join(__dirname, '..', 'docs', file), 'utf8')

/** The text below a heading, up to the next one of any level. */
function section(page: string, heading: string): string | undefined {
  const lines = page.split('\n')
  const start = lines.indexOf(heading)
  if (start < 0) return undefined
  const length = lines.slice(start + 1).findIndex((line) => line.startsWith('#'))
  return lines.slice(start + 1, length < 0 ? undefined : start + 1 + length).join('\n')
}

describe('the generated documentation', () => {
  test.each(PAGES.map((page) => [page.file, page] as const))(
    'docs/%s is what `npm run docs` writes now',
    (file, page) => {
      expect(read(file)).toBe(page.render())
    },
  )

  test.each(Object.entries(CATALOGUE))('%s has a heading with its meaning and its remedy', (code, entry) => {
    expect(code).toMatch(/^_?[a-z]+(_[a-z]+)*$/)
    const text = section(read('errors.md'), `## ${code}`)
    expect(text).toContain(entry.text)
    expect(text).toMatch(/Status [1-5]\d\d\./)
    expect(text).toContain(`**What to do:** ${entry.remedy}`)
    expect(entry.remedy).not.toBe('')
  })

  test('every route of every service has a heading with its access rule', () => {
    const page = read('routes.md')
    const { services } = catalogued()
    expect(services.length).toBeGreaterThan(0)
    for (const { prefix, routes } of services)
      for (const { method, at = '/…', access } of routes)
        expect(section(page, `### ${method} /${prefix}${at}`)).toContain(`Access: **${access}**`)
  })

  test('every setting is in the table', () => {
    for (const name of SETTING_NAMES) expect(read('configuration.md')).toContain(`| \`${name}\` |`)
  })
})
