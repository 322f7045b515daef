import type { Kv4Error } from '../core'
import { Reply } from '../services/module'
import type { Json } from '../core'

/**
 * The JSON of an answer: `{"v": …, "s": "ok"}`, with `"next"` where a listing goes on.
 * Contract: xirsys-rest.md §1; unknown members are ignored by its clients.
 */
export function okText(answer: Json | Reply): string {
  if (!(answer instanceof Reply)) return '{"v":' + JSON.stringify(answer) + ',"s":"ok"}'
  const { text, next } = answer.more
  const value = text ?? JSON.stringify(answer.value)
  return next === undefined
    ? '{"v":' + value + ',"s":"ok"}'
    : '{"v":' + value + ',"s":"ok","next":' + JSON.stringify(next) + '}'
}

/**
 * `{"v": "<code>", "s": "error"}`, with the error's public fields as `"d"` where it has some. Nothing else of an error
 * gets out here; `unauthorized` never has more than its code, so that all its causes look the same.
 */
export function errorText(error: Kv4Error): string {
  const { code, fields } = error
  for (const _ in fields)
    if (code !== 'unauthorized') return `{"v":"${code}","s":"error","d":${JSON.stringify(fields)}}`
  return `{"v":"${code}","s":"error"}`
}
