import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { Script } from 'node:vm'
import { CATALOGUE } from '../core'
import { catalogued } from '../docs/generate/catalogued'
import { PAGES } from '../docs/generate/pages'
import { SETTING_NAMES } from '../server/settings'

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

const ROOT = join(__dirname, '..')
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  ...['docs', 'docs/decisions'].flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((file) => file.endsWith('.md'))
      .map((file) => `${folder}/${file}`),
  ),
]

describe('the programs of the documents', () => {
  const programs = pages.flatMap((page) =>
    [...readFileSync(join(ROOT, page), 'utf8').matchAll(/^```js\n([^]*?)^```$/gm)].map(
      ([, code]) => [page, code!.split('\n', 1)[0]!, code!] as const,
    ),
  )

  test.each(programs)('of %s can be pasted: %s', (_page, _first, code) => {
    // `await` and `import` at the top are for modules, which have no `require`.
    if (/^import /m.test(code)) expect(code).not.toContain('require(')
    else expect(() => new Script(`(function () {${code}})`)).not.toThrow()
  })
})

describe('the links of the documents', () => {
  test.each(pages)('of %s lead to pages and headings that are there', (page) => {
    const text = readFileSync(join(ROOT, page), 'utf8')
    const lost = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, link]) => link!)
      .filter((link) => !/^https?:/.test(link))
      .filter((link) => {
        const [path = '', heading] = link.split('#', 2)
        const target = path === '' ? page : normalize(join(dirname(page), path))
        return !existsSync(join(ROOT, target)) || (heading !== undefined && !anchors(target).has(heading))
      })
    expect(lost).toEqual([])
  })

  test('name decisions that are there, each number once', () => {
    const records = pages.filter((page) => page.startsWith('docs/decisions/'))
    const numbers = records.map((page) => Number(/\/(\d{4})-[^/]+$/.exec(page)?.[1]))
    expect(new Set(numbers).size).toBe(records.length)
    for (const [i, record] of records.entries())
      expect(readFileSync(join(ROOT, record), 'utf8')).toMatch(new RegExp(`^# ${numbers[i]}\\. \\S`))
  })

  /** As GitHub makes them of headings. */
  function anchors(page: string): Set<string> {
    const headings = readFileSync(join(ROOT, page), 'utf8').matchAll(/^#+ (.*)$/gm)
    return new Set(
      [...headings].map(([, heading]) =>
        heading!
          .toLowerCase()
          .replace(/[^\p{L}\p{N}_\- ]/gu, '')
          .replaceAll(' ', '-'),
      ),
    )
  }
})
