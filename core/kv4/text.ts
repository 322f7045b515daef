/** Facts about user-given text that the names of the data model share. */

export function byteLength(text: string): number {
  return Buffer.byteLength(text, 'utf8')
}

// C0, DEL and C1 controls

const CONTROL = /[\u0000-\u001f\u007f-\u009f]/

/** Lone surrogates count: they have no UTF-8 form, so two different strings would become one. */
export function hasControlCharacter(text: string): boolean {
  return CONTROL.test(text) || !text.isWellFormed()
}
