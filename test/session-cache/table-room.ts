import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A fresh directory in memory, where there is such; removed by `removeTableRooms`. */
export function tableRoom(): string {
  const base = statSync('/dev/shm', { throwIfNoEntry: false })?.isDirectory() === true ? '/dev/shm' : tmpdir()
  const room = mkdtempSync(join(base, 'kv4-test-'))
  rooms.push(room)
  return room
}

const rooms: string[] = []

export function removeTableRooms(): void {
  for (const room of rooms.splice(0)) rmSync(room, { recursive: true, force: true })
}
