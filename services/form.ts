/** `as`: how entries are shown; `1` is how earlier clients say `datum`. */
export const FORMS = ['values', 'datum', '1'] as const
export type Form = (typeof FORMS)[number]
