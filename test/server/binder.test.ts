import { LayerRegistry } from '../../core/kv4/layer-registry'
import { bind, methodsAt } from '../../server/binder'
import { Path } from '../../core'
import type { Route, Service } from '../../services/module'

const run = async () => null
const get: Route = { method: 'GET', access: 'account', summary: 'Reads.', run }

function service(name: string, more: Partial<Service> = {}): Service {
  return { name, prefix: '_' + name, layers: [], routes: [get], ...more }
}

const mount = (...services: Service[]) => bind(services, { layers: new LayerRegistry() })

describe('binder', () => {
  test.each<[string, Service[], RegExp]>([
    ['two of one prefix', [service('a'), service('a')], /two services want the prefix _a/],
    ['a prefix of another name', [service('a', { prefix: '_b' })], /not _a/],
    ['a name that is no word', [service('A b')], /word/],
    ['no routes', [service('a', { routes: [] })], /no routes/],
    ['two routes for one thing', [service('a', { routes: [get, { ...get }] })], /GET _a.*two routes/],
    [
      'two routes for one path',
      [service('a', { routes: [{ ...get, at: '/x' }, get, { ...get, at: '/x' }] })],
      /GET _a\/x/,
    ],
    [
      'no access rule',
      [service('a', { routes: [{ method: 'GET', summary: '', run } as unknown as Route] })],
      /access rule/,
    ],
    [
      'an unknown access rule',
      [service('a', { routes: [{ ...get, access: 'anybody' as 'public' }] })],
      /anybody/,
    ],
    ['an unknown method', [service('a', { routes: [{ ...get, method: 'TRACE' as 'GET' }] })], /TRACE/],
    ['a path that is not canonical', [service('a', { routes: [{ ...get, at: '/x/' }] })], /write \/x/],
    [
      'a layer of two services',
      [
        service('a', { layers: [{ name: '*l', kind: 'versioned' }] }),
        service('b', { layers: [{ name: '*l', kind: 'series' }] }),
      ],
      /layer \*l is declared by a and by b/,
    ],
    [
      'a layer twice',
      [
        service('a', {
          layers: [
            { name: '*l', kind: 'versioned' },
            { name: '*l', kind: 'versioned' },
          ],
        }),
      ],
      /layer \*l/,
    ],
  ])('refuses %s', (_title, services, message) => {
    expect(() => mount(...services)).toThrow(message)
  })

  test('declares the layers', () => {
    const layers = new LayerRegistry()
    bind([service('a', { layers: [{ name: '*l', kind: 'series' }] })], { layers })
    expect(layers.of('*l' as Parameters<typeof layers.of>[0])).toMatchObject({ kind: 'series' })
  })

  test('a path that one route names answers its own methods only', () => {
    const put: Route = { ...get, method: 'PUT', at: '/x' }
    const { byPrefix } = mount(service('a', { routes: [get, put] }))
    const bound = byPrefix.get('_a')!
    expect([...methodsAt(bound, Path.parse('/x')).keys()]).toEqual(['PUT'])
    expect([...methodsAt(bound, Path.parse('/x/y')).keys()]).toEqual(['GET'])
  })

  test('starts in order, and stops what has started when one fails', async () => {
    const seen: string[] = []
    const noting = (name: string, fails = false): Service =>
      service(name, {
        async start() {
          seen.push('start ' + name)
          if (fails) throw new Error('no')
        },
        async stop() {
          seen.push('stop ' + name)
        },
      })
    await expect(mount(noting('a'), noting('b'), noting('c', true), noting('d')).start()).rejects.toThrow(
      'no',
    )
    expect(seen).toEqual(['start a', 'start b', 'start c', 'stop b', 'stop a'])
  })
})
