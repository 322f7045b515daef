/** Above this, in characters, an answer is sent while it is made. */
const MOST_WHOLE = 256 * 1024
/** Of a reader it is expected that he takes one such piece within KV4_STREAM_STALL_MS. */
const PIECE = 64 * 1024

/**
 * The body of an answer that comes in parts: what is short as a whole, so that it is sent with its length; the rest in
 * pieces that a slow reader can take.
 */
export async function wholeOrParts(
  parts: AsyncGenerator<string, void, undefined>,
  most = MOST_WHOLE,
): Promise<string | AsyncIterable<string>> {
  let whole = ''
  for (;;) {
    const { value, done } = await parts.next()
    if (done === true) return whole
    whole += value
    if (whole.length > most) return pieces(whole, parts)
  }
}

async function* pieces(
  begun: string,
  parts: AsyncGenerator<string, void, undefined>,
): AsyncGenerator<string, void, undefined> {
  yield* piecesOf(begun)
  for await (const part of parts) yield* piecesOf(part)
}

function* piecesOf(text: string): Generator<string, void, undefined> {
  for (let from = 0; from < text.length;) {
    let to = from + PIECE
    // The halves of a character that has two are nothing by themselves.
    if (isHighSurrogate(text.charCodeAt(to - 1))) to++
    yield text.slice(from, to)
    from = to
  }
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff
}
