import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import type { Told } from './acknowledgement'

/**
 * What a process did to its data files, in order, from the log of strace (-f -y -xx). A write begins and ends, because a
 * power cut may come in between; bytes are on disk when a `sync` of their file that began after the write's end has ended,
 * or at the end of a write through a descriptor that was opened with O_DSYNC.
 */
export type DiskEvent =
  | { readonly kind: 'begin'; readonly write: DiskWrite }
  | { readonly kind: 'end'; readonly write: DiskWrite }
  | { readonly kind: 'sync begin' | 'sync end'; readonly file: string }
  | { readonly kind: 'told'; readonly told: Told }

export interface DiskWrite {
  /** The file's name. */
  readonly file: string
  readonly offset: number
  readonly data: Buffer
  /** On disk when it ends. */
  readonly synchronous: boolean
}

/** The options of strace that make the log which is read here. */
export function recordingOptions(log: string): readonly string[] {
  const calls = 'trace=openat,lseek,write,pwrite64,writev,pwritev,fdatasync,fsync,msync,ftruncate'
  return ['strace', '-f', '-qq', '-y', '-xx', '-s', '4194304', '--seccomp-bpf', '-o', log, '-e', calls]
}

const CALL = /^(\d+) +(?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$/
const DATA = /"((?:\\x[0-9a-f]{2})*)"/g

function bytes(text: string): Buffer {
  return Buffer.from(text.replaceAll('\\x', ''), 'hex')
}

function dataOf(call: string): Buffer {
  return Buffer.concat([...call.matchAll(DATA)].map(([, text]) => bytes(text!)))
}

/** `files`: the data files' names; `pipe`: the descriptor on which acknowledgements are told. */
export function readRecording(log: string, files: readonly string[], pipe: number): DiskEvent[] {
  const events: DiskEvent[] = []
  const synchronous = new Set<string>()
  /** Where the next writev goes, by descriptor. */
  const positions = new Map<string, number>()
  let told = ''
  const unfinished = new Map<string, { name: string; begun: string; write: DiskWrite | undefined }>()

  const begin = (name: string, text: string): DiskWrite | undefined => {
    const descriptor = /^(\d+)<([^>]*)>/.exec(text)
    const path = descriptor === null ? '' : bytesOrText(descriptor[2]!)
    if (name === 'write' && descriptor?.[1] === String(pipe)) {
      told += dataOf(text).toString()
      const lines = told.split('\n')
      told = lines.pop()!
      for (const line of lines) events.push({ kind: 'told', told: JSON.parse(line) as Told })
      return undefined
    }
    const file = basename(path)
    if (!files.includes(file)) return undefined
    switch (name) {
      case 'fdatasync':
      case 'fsync':
        events.push({ kind: 'sync begin', file })
        return undefined
      case 'pwrite64':
      case 'writev': {
        const opened = descriptor![1]!
        const offset =
          name === 'writev'
            ? (positions.get(opened) ?? 0)
            : Number(/, (\d+)(?:\)| <unfinished)/.exec(text)![1])
        const write = { file, offset, data: dataOf(text), synchronous: synchronous.has(opened) }
        if (name === 'writev') positions.set(opened, offset + write.data.length)
        events.push({ kind: 'begin', write })
        return write
      }
      case 'lseek':
        positions.set(descriptor![1]!, Number(/^[^,]*, (\d+), SEEK_SET/.exec(text)![1]))
        return undefined
      case 'openat':
        return undefined
      default:
        // What this reading does not know would make its images wrong.
        throw new Error(`${name} on ${file}`)
    }
  }

  const finish = (name: string, write: DiskWrite | undefined, text: string): void => {
    if (name === 'openat') {
      const opened = / = (\d+)<([^>]*)>$/.exec(text)
      if (opened !== null && files.includes(basename(bytesOrText(opened[2]!))))
        if (text.includes('O_DSYNC')) synchronous.add(opened[1]!)
        else synchronous.delete(opened[1]!)
    } else if (write !== undefined) events.push({ kind: 'end', write })
    else if (name === 'fdatasync' || name === 'fsync') {
      const file = files.find((each) => text.includes(inHexadecimal(each)))
      if (file !== undefined) events.push({ kind: 'sync end', file })
    }
  }

  // The kill ended strace as well, in the middle of its last line perhaps.
  for (const line of readFileSync(log, 'latin1').split('\n').slice(0, -1)) {
    const match = CALL.exec(line)
    if (match === null) continue
    const [, thread, name, text, resumed, rest] = match
    if (name !== undefined) {
      const write = begin(name, text!)
      if (text!.endsWith('<unfinished ...>')) unfinished.set(thread!, { name, begun: text!, write })
      else finish(name, write, text!)
    } else {
      const call = unfinished.get(thread!)
      unfinished.delete(thread!)
      if (call?.name === resumed) finish(call!.name, call!.write, call!.begun + rest!)
    }
  }
  return events
}

/** With -xx strace writes paths in hexadecimal, too. */
function bytesOrText(path: string): string {
  return path.startsWith('\\x') ? bytes(path).toString() : path
}

function inHexadecimal(file: string): string {
  return [...Buffer.from(file)].map((byte) => '\\x' + byte.toString(16).padStart(2, '0')).join('')
}
