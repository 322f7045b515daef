import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Reads docs/SPEC.md, which has this form:
 *
 *     ## 3. A section                           numbered 1, 2, 3 …
 *     **3.1** A promise.                        numbered within its section, followed by what proves it:
 *     - `test/a.test.ts`: `title`; `title`      names of tests, tables or groups, as they stand in the source
 *     - `npm run script` (size): result.        a campaign
 *     ## Tests of tools                         such a list, of what proves no promise
 *     ## Promises of the whole, not proven yet  a table; 3.1 in it is a promise
 */

const ROOT = join(__dirname, '..')
const TOOLS = 'Tests of tools'
const MISSING = 'Promises of the whole, not proven yet'

interface Item {
  /** A path, or `npm run script`. */
  readonly subject: string
  readonly titles: readonly string[]
  readonly text: string
}

interface Promised {
  readonly number: string
  text: string
  readonly proofs: Item[]
}

interface Section {
  readonly heading: string
  readonly promises: Promised[]
  /** What stands in the section outside of promises. */
  readonly items: Item[]
  readonly lines: string[]
}

/** The code spans of a line; those that hold a backtick have two at their ends. */
function spans(text: string): string[] {
  return [...text.matchAll(/(`+)(.*?[^`])\1(?!`)/g)].map(([, , inner]) => inner!.trim())
}

/** Paragraphs and list items, each on one line. */
function blocks(text: string): string[] {
  const all: string[] = []
  let open = false
  for (const line of text.split('\n')) {
    const continues = open && line !== '' && !/^(?:- |#|\*\*|\|)/.test(line)
    if (continues) all.push(`${all.pop()!} ${line.trim()}`)
    else if (line !== '') all.push(line)
    open = line !== ''
  }
  return all
}

function parse(text: string): Section[] {
  const sections: Section[] = []
  let promise: Promised | undefined
  for (const block of blocks(text)) {
    if (block.startsWith('## ')) {
      sections.push({ heading: block.slice(3), promises: [], items: [], lines: [] })
      promise = undefined
      continue
    }
    const section = sections.at(-1)
    if (section === undefined) continue
    const begins = /^\*\*(\S+)\*\* (.*)$/.exec(block)
    if (begins !== null) {
      promise = { number: begins[1]!, text: begins[2]!, proofs: [] }
      section.promises.push(promise)
    } else if (block.startsWith('- ')) {
      const [subject = '', ...titles] = spans(block)
      ;(promise?.proofs ?? section.items).push({ subject, titles, text: block })
    } else if (promise !== undefined && promise.proofs.length === 0) promise.text += ' ' + block
    else section.lines.push(block)
  }
  return sections
}

/** Whether a file's source has a call that takes the title first, as `test`, `describe` and their tables do. */
function names(source: string, title: string): boolean {
  const literal = title.replaceAll(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  return new RegExp(`\\(\\s*(['"\`])${literal}(?:\\1|\\$\\{)`).test(source)
}

/** A test that never runs proves nothing. Skips with a reason are decided at run time and look different. */
const NEVER_RUNS = /\b(?:x(?:it|test|describe)|(?:it|test|describe)\.(?:skip|todo)(?:\.each)?)\s*[(`]/

const page = readFileSync(join(ROOT, 'docs', 'SPEC.md'), 'utf8')
const sections = parse(page)
const numbered = sections.filter(({ heading }) => /^\d/.test(heading))
const promises = numbered.flatMap((section) => section.promises)
const section = (heading: string): Section => sections.find((one) => one.heading === heading)!
const source = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const testSources = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => 'test/' + path)

describe('docs/SPEC.md', () => {
  test('is understood', () => {
    expect(numbered.length).toBeGreaterThan(10)
    expect(sections.map(({ heading }) => heading)).toEqual([
      ...numbered.map(({ heading }) => heading),
      TOOLS,
      MISSING,
    ])
    // Nothing stands between promises that was not read as one of them or as a proof.
    for (const { heading, items, lines } of numbered)
      expect({ heading, items, lines }).toEqual({ heading, items: [], lines: [] })
    expect(promises).toHaveLength(page.match(/^\*\*/gm)!.length)
    const read = [...promises.flatMap(({ proofs }) => proofs), ...section(TOOLS).items]
    const introduced = page.slice(0, page.indexOf('\n## ')).match(/^- /gm)?.length ?? 0
    expect(read.length + introduced).toBe(page.match(/^- /gm)!.length)
  })

  test('numbers sections and promises from 1, each once, without a gap', () => {
    expect(numbered.map(({ heading }) => parseInt(heading))).toEqual(numbered.map((_, i) => i + 1))
    for (const [i, { promises: within }] of numbered.entries())
      expect(within.map(({ number }) => number)).toEqual(within.map((_, j) => `${i + 1}.${j + 1}`))
  })

  test.each(promises.map((promise) => [promise.number, promise] as const))(
    '%s is proven by tests that are there',
    (_number, { text, proofs }) => {
      expect(text).toMatch(/[.)]$/)
      expect(proofs.some(({ subject }) => subject.startsWith('test/'))).toBe(true)
      for (const { subject, titles } of proofs.filter((proof) => proof.subject.startsWith('test/'))) {
        const text = source(subject)
        expect([subject, titles.length]).not.toEqual([subject, 0])
        expect([subject, titles.filter((title) => !names(text, title))]).toEqual([subject, []])
        expect([subject, NEVER_RUNS.test(text)]).toEqual([subject, false])
      }
    },
  )

  test('names campaigns that can be run, with their sizes and results', () => {
    const { scripts } = JSON.parse(source('package.json')) as { scripts: Record<string, string> }
    const campaigns = promises.flatMap(({ proofs }) =>
      proofs.filter(({ subject }) => !subject.startsWith('test/')),
    )
    expect(campaigns.length).toBeGreaterThan(0)
    for (const { subject, text } of campaigns) {
      expect(Object.keys(scripts).map((name) => `npm run ${name}`)).toContain(subject)
      expect(text).toMatch(/^- `[^`]+` \([^)]*\d[^)]*\): .*\d.*\.$/)
    }
  })

  test('names suites that some test runs', () => {
    const suites = new Set(
      promises
        .flatMap(({ proofs }) => proofs.map(({ subject }) => subject))
        .filter((subject) => subject.startsWith('test/') && !subject.endsWith('.test.ts')),
    )
    expect(suites.size).toBeGreaterThan(0)
    for (const suite of suites) {
      const imported = new RegExp(`from '[./\\w-]*/${suite.split('/').at(-1)!.slice(0, -3)}'`)
      expect([suite, testSources.some((path) => imported.test(source(path)))]).toEqual([suite, true])
    }
  })

  test('names every test file', () => {
    const named = new Set(
      [...promises.flatMap(({ proofs }) => proofs), ...section(TOOLS).items].map(({ subject }) => subject),
    )
    expect(
      testSources.filter((path) => path.endsWith('.test.ts')).filter((path) => !named.has(path)),
    ).toEqual([])
    for (const { subject } of section(TOOLS).items) expect(testSources).toContain(subject)
  })

  test('tells of what is missing by promises that are there', () => {
    const numbers = new Set(promises.map(({ number }) => number))
    const rows = section(MISSING)
      .lines.map((line) => line.split('|').map((cell) => cell.trim()))
      .filter(([, first]) => /^[PT]\d+$/.test(first ?? ''))
    expect(rows.length).toBeGreaterThan(0)
    expect(new Set(rows.map(([, number]) => number)).size).toBe(rows.length)
    for (const [, , what, proven, missing] of rows) {
      expect(Math.min(what!.length, proven!.length, missing!.length)).toBeGreaterThan(0)
      for (const [number] of proven!.matchAll(/\b\d+\.\d+\b/g)) expect(numbers).toContain(number)
    }
  })
})

describe('a title', () => {
  test.each([
    ["test('a title', () => {})", true],
    ["test.each([1, 2])(\n  'a title',", true],
    ['bench.proves("a title", run)', true],
    ['test(`a title${why}`, run)', true],
    ["test('a title that goes on', run)", false],
    ["test('not a title', run)", false],
    ["// 'a title'", false],
    ['', false],
  ])('in %j is found: %s', (text, found) => {
    expect(names(text, 'a title')).toBe(found)
  })
})
