import { Key, Path, type Bucket, type Json, type Listing } from '../../core'
import { Reply, route } from '../module'
import { NAMES_LIMIT, pageOptions } from '../paging'
import { Question, askedLayer } from './question'

/** GET: contract §9. */
export const discover = route({
  method: 'GET',
  access: 'account',
  summary:
    '`a=layers`: layers of the account. `a=paths&l=`: paths of a layer at or below the path. `a=keys&l=`: its keys at the path.',
  input: { query: Question },
  watch({ query }) {
    return query.l === undefined ? { key: null, show: null } : { layer: askedLayer(query), show: null }
  },
  async run({ bucket, path, query }) {
    switch (query.a) {
      case 'layers':
        return layers(bucket)
      case 'paths':
        return paths(bucket, path, query)
      case 'keys':
        return keys(bucket, path, query)
      default:
        return query.a satisfies never
    }
  },
})

async function layers(bucket: Bucket): Promise<Json> {
  return (await bucket.layers()).toSorted()
}

/** With a leading slash, unlike `_ns`. */
async function paths(bucket: Bucket, under: Path, question: Question): Promise<Json | Reply> {
  const page = pageOptions(question, NAMES_LIMIT, (text) => Path.parse(text))
  return answer(await bucket.paths(askedLayer(question), under, undefined, page))
}

async function keys(bucket: Bucket, path: Path, question: Question): Promise<Json | Reply> {
  const page = pageOptions(question, NAMES_LIMIT, (text) => Key.parse(text))
  return answer(await bucket.keys({ layer: askedLayer(question), path }, page))
}

function answer({ items, next }: Listing<string>): Json | Reply {
  return next === undefined ? items : new Reply(items, { next })
}
