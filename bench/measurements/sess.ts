import { compare } from '../compare'
import type { LoadRequest } from '../load'
import type { Measurement } from '../measurement'
import { KEYS, VALUE, startTenant } from '../tenant'

const SCHEMA = {
  type: 'object',
  properties: {
    first_name: { type: 'string', min: 1, max: 100 },
    last_name: { type: 'string', max: 100 },
    email: { type: 'string' },
    active: { type: 'boolean' },
    visits: { type: 'array', max: 10, items: { type: 'integer', min: 0 } },
    note: { type: 'string', optional: true },
  },
}

export const sess: Measurement = {
  name: 'sess',
  title:
    'Sessions against the same calls of _data: a cached GET, a durable PUT to 1,000 of them, 32 connections',
  async run(context) {
    const tenant = await startTenant()
    const { headers } = tenant
    const get = (path: string): LoadRequest[] => [{ method: 'GET', path, headers }]
    const puts = (service: string, k: string, more: object = {}): LoadRequest[] =>
      Array.from({ length: KEYS }, (_, i) => ({
        method: 'PUT',
        path: `/${service}/users/user-${String((i * 389) % KEYS).padStart(5, '0')}`,
        headers,
        body: JSON.stringify({ k, v: VALUE, ...more }),
      }))
    const call = async (path: string, body: object) => {
      const response = await fetch(`http://127.0.0.1:${tenant.port}${path}`, {
        method: 'PUT',
        headers: { ...headers, 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      })
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    }
    try {
      await call('/_data/users/ana', { k: 'cart', v: VALUE })
      await call('/_sess/users/ana', { k: 'cart', v: VALUE })
      const plain = await compare(
        [
          { what: '_data GET', target: tenant, requests: get('/_data/users/ana?k=cart') },
          { what: '_sess GET', target: tenant, requests: get('/_sess/users/ana?k=cart') },
          { what: '_data PUT', target: tenant, requests: puts('_data', 'cart') },
          { what: '_sess PUT', target: tenant, requests: puts('_sess', 'cart') },
        ],
        context,
        32,
      )
      await call('/_sess/_schemas', { k: 'bench.cart.v1', v: SCHEMA })
      await call('/_sess/users/bo', { k: 'cart', v: VALUE, ttl: 3600 })
      const more = await compare(
        [
          { what: '_sess GET, with a ttl', target: tenant, requests: get('/_sess/users/bo?k=cart') },
          { what: '_sess PUT, with a schema', target: tenant, requests: puts('_sess', 'bench.cart.v1') },
          { what: '_sess PUT, with a ttl', target: tenant, requests: puts('_sess', 'cart', { ttl: 3600 }) },
        ],
        context,
        32,
      )
      const least = { target: { atLeast: 0.9 } }
      return [
        plain.get('_data GET')!,
        { ...plain.get('_sess GET')!, against: '_data GET', ...least },
        { ...more.get('_sess GET, with a ttl')!, against: '_data GET' },
        plain.get('_data PUT')!,
        { ...plain.get('_sess PUT')!, against: '_data PUT', ...least },
        { ...more.get('_sess PUT, with a schema')!, against: '_data PUT' },
        { ...more.get('_sess PUT, with a ttl')!, against: '_data PUT' },
      ]
    } finally {
      await tenant.stop()
    }
  },
}
