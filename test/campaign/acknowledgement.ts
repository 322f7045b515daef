/**
 * What a writer process tells its parent: a line of JSON for each acknowledgement, and for each drop that it is about
 * to begin. `value` is the number from which `valueOf` makes the value.
 */
export type Told =
  | readonly ['put', key: string, n: number, value: number]
  | readonly ['remove', key: string, n: number]
  | readonly ['beat', key: string, n: number, value: number]
  | readonly ['append', key: string, id: string, value: number]
  | readonly ['create', bucket: string]
  | readonly ['dropping', bucket: string]
  | readonly ['dropped', bucket: string]
  | readonly ['fatal', message: string]

/** A value that no other number has, of 10 bytes to some pages. */
export function valueOf(number: number): string {
  const length = number % 97 === 0 ? 9000 : number % 11 === 0 ? 900 : number % 60
  return `${number}:` + String.fromCharCode(97 + (number % 26)).repeat(length)
}
