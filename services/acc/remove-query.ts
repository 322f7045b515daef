import { z } from 'zod'

// Without a key all logins are meant, so a key that none has must not pass for none.
const NOT_HERE = z.never('no login has this key').describe('refused').optional()

/** Of the DELETE routes of this service. */
export const RemoveQuery = z.object({ k: z.string().optional(), k2: NOT_HERE, k3: NOT_HERE, k4: NOT_HERE })
