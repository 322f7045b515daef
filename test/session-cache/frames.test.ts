import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { FrameReader, encodeFrame } from '../../session-cache/frames'

const LIMITS = { bytes: 4096, depth: 64 }

/** As captured from clients and servers of the original. */
const CAPTURED = [
  '{"_ps_op":"sub","topic":"session","_m_path":"auths","_response_id":4}',
  '{"key":"k1","value":"v1","hash":{},"_ps_op":"pub","topic":"session","_m_path":"auths","_response_id":38}',
  '{"key":"nokey","requester":41143,"_ps_op":"pub","topic":"need_session","_m_path":"auths","_response_id":91}',
  '{"_response_id":91,"key":"nokey","value":"remote-value","hash":"x"}',
  '{"topic":"session","_m_path":"auths","key":"pushed","value":"pv","hash":"123-45"}',
  '{"key":"}{","value":"a}{b}  {\\"}{\\\\","_ps_op":"pub","topic":"session","_m_path":"auths"}',
  '{"key":"ä€😀","value":{"a":[{"b":{}},{}]}}',
]

function readAll(...chunks: Buffer[]): unknown[] {
  const reader = new FrameReader(LIMITS)
  return chunks.flatMap((chunk) => reader.push(chunk))
}

/** How the receivers of the original cut a stream: at every } that is followed by {. */
function cutAsOriginal(text: string): string[] {
  return text
    .replace(/\}\s*\{/g, '}\u0000{')
    .split('\u0000')
    .filter((part) => part !== '')
}

describe('frames', () => {
  const stream = Buffer.from(CAPTURED.join(''))
  const expected = CAPTURED.map((text) => JSON.parse(text) as unknown)

  test('come out whole wherever the stream is split', () => {
    for (let at = 0; at <= stream.length; at++)
      expect(readAll(stream.subarray(0, at), stream.subarray(at))).toEqual(expected)
  })

  test('come out whole byte by byte, and split in three', () => {
    expect(readAll(...[...stream].map((byte) => Buffer.of(byte)))).toEqual(expected)
    for (let a = 0; a <= stream.length; a += 7)
      for (let b = a; b <= stream.length; b += 11)
        expect(readAll(stream.subarray(0, a), stream.subarray(a, b), stream.subarray(b))).toEqual(expected)
  })

  test('take little memory however small their pieces are', () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const reader = new FrameReader({ bytes: 3_000_000, depth: 9 })
    collect()
    const before = process.memoryUsage().heapUsed
    for (const byte of Buffer.from(`{"a":"${'x'.repeat(200_000)}`)) reader.push(Buffer.of(byte))
    collect()
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(12_000_000)
    expect(reader.push(Buffer.from('"}'))).toEqual([{ a: 'x'.repeat(200_000) }])
  })

  test('may have white space between them', () => {
    expect(readAll(Buffer.from(CAPTURED.join(' \r\n\t')))).toEqual(expected)
  })

  test('hold no }{ when we write them, and say the same', () => {
    fc.assert(
      fc.property(
        fc.array(fc.dictionary(textWithBraces, fc.oneof(textWithBraces, fc.jsonValue()))),
        (frames) => {
          const plain = frames.map((frame) => JSON.parse(JSON.stringify(frame)) as Record<string, unknown>)
          const texts = plain.map(encodeFrame)
          for (const text of texts) expect(text).not.toMatch(/\}\s*\{/)
          expect(readAll(Buffer.from(texts.join('')))).toEqual(plain)
          expect(cutAsOriginal(texts.join('')).map((text) => JSON.parse(text) as unknown)).toEqual(plain)
        },
      ),
    )
  })

  test.each([
    ['text between frames', 'ERROR: paths improperly loaded in service', 'malformed_frame'],
    ['an array', '[1]', 'malformed_frame'],
    ['broken JSON', '{"a":}', 'malformed_frame'],
    ['brackets that do not match', '{"a":[}', undefined],
    ['too deep', '{"a":'.repeat(80), 'malformed_frame'],
    ['too large', `{"a":"${'x'.repeat(5000)}"}`, 'frame_too_large'],
    ['too large and never ending', `{"a":"${'x'.repeat(5000)}`, 'frame_too_large'],
  ])('%s is refused', (_, text, code) => {
    const whole = () => readAll(Buffer.from(text))
    // A bracket that is still open may yet be closed: it waits, within the limit.
    if (code === undefined) expect(whole()).toEqual([])
    else expect(whole).toThrow(expect.objectContaining({ code }) as Error)
  })
})

const textWithBraces = fc
  .array(fc.constantFrom('{', '}', '}{', '} {', '}\u00a0{', '"', '\\', 'a', '\n', 'ü'), { maxLength: 8 })
  .map((parts) => parts.join(''))
