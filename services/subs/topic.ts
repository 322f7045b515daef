import { Path } from '../../core'

/** Clients before 2017 name the topic behind the channel's path; there is one topic only. */
export function withoutTopic(path: Path): Path {
  const segments = Path.segments(path)
  return segments.at(-1) === 'topic' ? Path.parse(segments.slice(0, -1).join('/')) : path
}
