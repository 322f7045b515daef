import { usage } from './failure'

/**
 * The path and query of a request as they travel, from what was typed: `/_ds?a=paths&l=*acc`, `_data/my path`, and
 * `-q` pairs. What is percent-encoded already stays as it is; everything else that a URL cannot carry, or would take
 * for something else (`#`, a blank, non-ASCII), is encoded. In a pair of `-q` every character stands for itself.
 * @throws CliFailure for relative segments, which a URL parser would resolve before the server sees them
 */
export function requestTarget(typed: string, pairs: readonly string[] = []): string {
  const mark = typed.indexOf('?')
  const path = mark < 0 ? typed : typed.slice(0, mark)
  const segments = path.split('/')
  if (segments.some((segment) => /^(?:\.|%2e){1,2}$/i.test(segment)))
    throw usage('a path has no `.` and `..` segments', 'Write the whole path.')
  const query =
    mark < 0
      ? []
      : typed
          .slice(mark + 1)
          .split('&')
          .filter((part) => part !== '')
          .map(encodeTyped)
  for (const pair of pairs) query.push(encodePair(pair))
  const rooted = '/' + encodeTyped(path.replace(/^\/+/, '')).replaceAll('?', '%3F')
  return query.length === 0 ? rooted : rooted + '?' + query.join('&')
}

function encodeTyped(text: string): string {
  try {
    return encodeURI(text.toWellFormed())
      .replaceAll(/%25([0-9a-f]{2})/gi, '%$1')
      .replaceAll('#', '%23')
      .replaceAll('\\', '%5C')
  } catch (error) {
    throw usage(`the path cannot be sent: ${String(error)}`)
  }
}

function encodePair(pair: string): string {
  const equals = pair.indexOf('=')
  if (equals < 1) throw usage(`-q ${JSON.stringify(pair)} is not name=value`)
  return (
    encodeURIComponent(pair.slice(0, equals)) +
    '=' +
    encodeURIComponent(pair.slice(equals + 1).toWellFormed())
  )
}
