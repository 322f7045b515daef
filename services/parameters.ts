import { z } from 'zod'

/** Query parameters that several services read alike. What does not parse is `bad_request`. */

/** `depth`: how many segments below the addressed path; 0 is the path alone. */
export const Depth = z
  .string()
  .regex(/^\d{1,4}$/)
  .transform(Number)
  .describe('0 or more')

/** A whole number, whose bounds the documentation and a refusal name alike. */
export function whole(least: number, most: number) {
  const bounds = `${least} to ${most.toLocaleString('en')}`
  return z
    .string()
    .regex(/^\d{1,9}$/, `is not ${bounds}`)
    .transform(Number)
    .refine((n) => n >= least && n <= most, `is not ${bounds}`)
    .describe(bounds)
}

/** A switch: `1` or `true`, `0` or `false`; absent is off. */
export const Flag = z.enum(['1', 'true', '0', 'false']).transform((word) => word === '1' || word === 'true')
