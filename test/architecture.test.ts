import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import ts from 'typescript'
import { catalogued } from '../docs/generate/catalogued'

const ROOT = join(__dirname, '..')
const ROOMS = [
  'core',
  'auth',
  'services',
  'server',
  'cli',
  'client',
  'service',
  'session-cache',
  'examples',
  'docs',
  'bench',
] as const
type Room = (typeof ROOMS)[number]

/** What each room may import beside packages; `types` only as types. */
const MAY: Readonly<Record<Room, { readonly rooms: readonly Room[]; readonly types?: readonly Room[] }>> = {
  core: { rooms: ['core'] },
  auth: { rooms: ['auth', 'core'] },
  services: { rooms: ['services', 'core'], types: ['auth'] },
  // Published to programs of their own; the server signs what it verifies.
  service: { rooms: ['service'] },
  server: { rooms: ['server', 'service', 'services', 'auth', 'core'] },
  cli: { rooms: ['cli', 'client', 'server', 'services', 'auth', 'core', 'session-cache'] },
  client: { rooms: ['client'] },
  // A library of its own, for other processes too.
  'session-cache': { rooms: ['session-cache', 'core', 'client'] },
  // Programs of their own: they know what is published to them.
  examples: { rooms: ['examples', 'service', 'client', 'session-cache'] },
  docs: { rooms: ['docs', 'server', 'services', 'auth', 'core'] },
  bench: { rooms: [...ROOMS] },
}

/** Packages that only these may import, as paths or folders; types count too. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  nano: ['core/store/couch/'],
  // The session cache shares a file of its own between processes: no bucket, no history (docs/decisions says why).
  lmdb: ['core/store/embedded/', 'session-cache/shared-table.ts'],
  'node-cache': ['core/kv4/cache.ts'],
  express: ['server/'],
  passport: ['auth/', 'server/'],
  'passport-http': ['auth/'],
  commander: ['cli/'],
  pino: ['server/'],
  ws: ['server/', 'client/'],
}

/** Beside core/index.ts, what composes a platform may open: a store. */
const STORE_DOORS =
  /^core\/store\/(?:store|couch\/(?:index|open-couch-store)|embedded\/(?:index|open-embedded-store))\.ts$/

/** Services that are one system share its room. */
const SYSTEMS: Readonly<Record<string, string>> = {
  reg: 'registry',
  conf: 'registry',
  app: 'applications',
  srv: 'applications',
}

interface Import {
  /** Relative to the project, with `/`. */
  readonly from: string
  /** As it is written. */
  readonly specifier: string
  /** The file of a relative import; undefined for a package. */
  readonly to: string | undefined
  readonly typeOnly: boolean
}

function sources(folder: string): string[] {
  const at = join(ROOT, folder)
  if (!existsSync(at)) return []
  return readdirSync(at, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.includes('node_modules'))
    .map((file) => join(folder, file))
}

function resolveFile(from: string, specifier: string): string {
  // import() names the file that the build makes.
  const base = join(ROOT, dirname(from), specifier.replace(/\.js$/, ''))
  const found = [base + '.ts', join(base, 'index.ts'), base].find((file) => existsSync(file))
  if (found === undefined) throw new Error(`${from} imports ${specifier}, which is not there`)
  return relative(ROOT, found)
}

/** Of every form: import, export … from, import(), require(), import type, typeof import(). */
function importsOf(file: string, text = readFileSync(join(ROOT, file), 'utf8')): Import[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest)
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined, typeOnly: boolean) => {
    if (specifier === undefined || !ts.isStringLiteralLike(specifier)) return
    const { text } = specifier
    found.push({
      from: file,
      specifier: text,
      to: text.startsWith('.') ? resolveFile(file, text) : undefined,
      typeOnly,
    })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeOnlyImport(node.importClause))
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, isTypeOnlyExport(node))
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, true)
    else if (ts.isExternalModuleReference(node)) add(node.expression, false)
    else if (ts.isCallExpression(node) && isLoading(node.expression)) add(node.arguments[0], false)
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

function isTypeOnlyImport(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined) return false
  if (clause.isTypeOnly) return true
  const names = clause.namedBindings
  return (
    clause.name === undefined &&
    names !== undefined &&
    ts.isNamedImports(names) &&
    names.elements.length > 0 &&
    names.elements.every((element) => element.isTypeOnly)
  )
}

function isTypeOnlyExport({ isTypeOnly, exportClause }: ts.ExportDeclaration): boolean {
  return (
    isTypeOnly ||
    (exportClause !== undefined &&
      ts.isNamedExports(exportClause) &&
      exportClause.elements.length > 0 &&
      exportClause.elements.every((element) => element.isTypeOnly))
  )
}

function isLoading(called: ts.Expression): boolean {
  return called.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(called) && called.text === 'require')
}

/** The first segment of a path; for the project's own files the room. */
function roomOf(file: string): string {
  return file.split('/', 1)[0]!
}

function packageOf(specifier: string): string {
  const [scope, name] = specifier.split('/')
  return specifier.startsWith('@') ? `${scope}/${name}` : scope!
}

function show({ from, specifier, typeOnly }: Import): string {
  return `${from} imports ${typeOnly ? 'the types of ' : ''}${specifier}`
}

/** A cycle in a graph, as the nodes along it; undefined: there is none. */
function cycleIn(graph: ReadonlyMap<string, ReadonlySet<string>>): readonly string[] | undefined {
  const done = new Set<string>()
  const walk = (node: string, trail: readonly string[]): readonly string[] | undefined => {
    if (trail.includes(node)) return [...trail.slice(trail.indexOf(node)), node]
    if (done.has(node)) return undefined
    for (const next of graph.get(node) ?? []) {
      const cycle = walk(next, [...trail, node])
      if (cycle !== undefined) return cycle
    }
    done.add(node)
    return undefined
  }
  for (const node of graph.keys()) {
    const cycle = walk(node, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}

const all = ROOMS.flatMap(sources).flatMap((file) => importsOf(file))
const internal = all.filter((each): each is Import & { readonly to: string } => each.to !== undefined)
const packages = all.filter(({ to, specifier }) => to === undefined && !specifier.startsWith('node:'))

describe('the imports', () => {
  test('were read at all', () => {
    expect(internal.length).toBeGreaterThan(300)
    expect(internal.some(({ typeOnly }) => typeOnly)).toBe(true)
    expect(new Set(packages.map(({ specifier }) => packageOf(specifier)))).toContain('nano')
  })

  test('are found in every form', () => {
    const text = `
      import { Key } from '../core'
      import type { Path } from '../core'
      import { type Layer } from '../core'
      import nano, { type Nope } from 'nano'
      import '../auth'
      export { bind } from '../server/binder'
      export type * from '../auth/principal'
      type A = import('../auth').Principal
      import legacy = require('../auth')
      void import('lmdb')
      const express = require('express')`
    const found = importsOf('cli/sample.ts', text).map(
      ({ specifier, to, typeOnly }) => `${typeOnly ? 'type ' : ''}${to ?? specifier}`,
    )
    expect(found).toEqual([
      'core/index.ts',
      'type core/index.ts',
      'type core/index.ts',
      'nano',
      'auth/index.ts',
      'server/binder.ts',
      'type auth/principal.ts',
      'type auth/index.ts',
      'auth/index.ts',
      'lmdb',
      'express',
    ])
    expect(() => importsOf('cli/sample.ts', "import '../core/nothing'")).toThrow('which is not there')
  })

  test.each(ROOMS)('of %s are of rooms that it may know', (room) => {
    const { rooms, types = [] } = MAY[room]
    const wrong = internal.filter(({ from, to, typeOnly }) => {
      if (roomOf(from) !== room || to === 'package.json') return false
      const target = roomOf(to) as Room
      return !rooms.includes(target) && !(typeOnly && types.includes(target))
    })
    expect(wrong.map(show)).toEqual([])
  })

  test('of no room make a cycle between rooms', () => {
    const graph = new Map<string, Set<string>>()
    for (const { from, to } of internal) {
      // What is only measured or described is known to nobody; bench is left out as it may import all.
      if (roomOf(from) === roomOf(to) || roomOf(from) === 'bench') continue
      graph.set(roomOf(from), (graph.get(roomOf(from)) ?? new Set()).add(roomOf(to)))
    }
    // Types apart: a service knows auth's types, and auth no service.
    expect(cycleIn(graph)).toBeUndefined()
  })

  test('of modules that run make no cycle anywhere', () => {
    const graph = new Map<string, Set<string>>()
    for (const { from, to, typeOnly } of internal)
      if (!typeOnly) graph.set(from, (graph.get(from) ?? new Set()).add(to))
    expect(cycleIn(graph)).toBeUndefined()
  })

  test('of a service are of its own folder, what all services share, core, and types of auth', () => {
    const wrong = internal.filter(({ from, to }) => {
      if (roomOf(from) !== 'services' || from === 'services/catalog.ts' || roomOf(to) !== 'services')
        return false
      const [, service, ...inside] = from.split('/')
      const [, other, ...below] = to.split('/')
      // What lies in services/ itself is shared; it knows no service.
      return below.length > 0 && !(inside.length > 0 && service === other)
    })
    expect(wrong.map(show)).toEqual([])
  })

  test('of a service are of no other package that reaches the outside than its own work needs', () => {
    const refused = [
      'express',
      'nano',
      'lmdb',
      'passport',
      'passport-http',
      'node-cache',
      'pino',
      'ws',
      'commander',
    ]
    const wrong = packages.filter(
      ({ from, specifier }) => roomOf(from) === 'services' && refused.includes(packageOf(specifier)),
    )
    expect(wrong.map(show)).toEqual([])
  })

  test.each(Object.entries(OWNERS))('of %s are in %j only', (name, owners) => {
    const wrong = packages.filter(
      ({ from, specifier }) =>
        packageOf(specifier) === name &&
        roomOf(from) !== 'bench' &&
        !owners.some((owner) => from.startsWith(owner)),
    )
    expect(wrong.map(show)).toEqual([])
  })

  test('of core from outside go through its one door, or open a store', () => {
    const wrong = internal.filter(
      ({ from, to }) =>
        roomOf(to) === 'core' &&
        roomOf(from) !== 'core' &&
        roomOf(from) !== 'bench' &&
        to !== 'core/index.ts' &&
        !(['server', 'cli'].includes(roomOf(from)) && STORE_DOORS.test(to)),
    )
    expect(wrong.map(show)).toEqual([])
  })

  test('of packages are of those that package.json names', () => {
    const { dependencies, devDependencies } = JSON.parse(
      readFileSync(join(ROOT, 'package.json'), 'utf8'),
    ) as Record<string, Record<string, string>>
    const shipped = Object.keys(dependencies!)
    const wrong = packages.filter(({ from, specifier, typeOnly }) => {
      const name = packageOf(specifier)
      const isForDevelopment = typeOnly || ['docs', 'bench'].includes(roomOf(from))
      return !shipped.includes(name) && !(isForDevelopment && name in devDependencies!)
    })
    expect(wrong.map(show)).toEqual([])
  })
})

describe('the rooms', () => {
  const { services } = catalogued()
  const folders = readdirSync(join(ROOT, 'services'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)

  test('every folder of services/ is in the catalogue', () => {
    const listed = importsOf('services/catalog.ts').flatMap(({ to }) => to?.split('/')[1] ?? [])
    expect(folders.filter((folder) => !listed.includes(folder))).toEqual([])
  })

  test.each(services.map((service) => [service.name, service] as const))(
    '%s is the word of its URL, of its folder and of its test',
    (name, service) => {
      expect(service.prefix).toBe('_' + name)
      const room = SYSTEMS[name] ?? name
      expect(folders).toContain(room)
      const tests = [`${room}.test.ts`, room].filter((test) => existsSync(join(ROOT, 'test/services', test)))
      expect(tests).not.toEqual([])
    },
  )

  test('no room is for odds and ends', () => {
    const names = ROOMS.flatMap(sources).filter((file) =>
      /(^|\/)(utils?|helpers?|common|misc|shared)(\.ts$|\/)/.test(file),
    )
    expect(names).toEqual([])
  })
})
