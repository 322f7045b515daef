import { createHash } from 'node:crypto'
import { Kv4Error } from '../../errors'
import type { BucketName } from '../../kv4/bucket-name'
import type { Cursor } from '../store'

/**
 * A cursor of the feed: `c.<check>.<seq>`, where seq is CouchDB's update sequence and check binds it to the bucket.
 * A client hands it back, and the sequence has to travel in a URL: only its own alphabet gets through, and one that
 * was not made here for this bucket is refused before CouchDB sees it.
 */
const CURSOR = /^c\.([0-9a-f]{8})\.(\d{1,20}(?:-[A-Za-z0-9_-]{1,8000})?)$/

function check(bucket: BucketName, seq: string): string {
  return createHash('sha256').update(`${bucket} ${seq}`).digest('hex').slice(0, 8)
}

export const FeedCursor = {
  of(bucket: BucketName, seq: string | number): Cursor {
    return `c.${check(bucket, String(seq))}.${seq}`
  },

  /** The sequence to give as `since`. @throws bad_cursor */
  parse(bucket: BucketName, cursor: Cursor): string {
    if (cursor === '') return '0'
    const [, given, seq] = CURSOR.exec(cursor) ?? []
    if (seq === undefined || given !== check(bucket, seq)) throw new Kv4Error('bad_cursor')
    return seq
  },
}
