import { z } from 'zod'

const File = z.object({
  default: z.string().optional(),
  profiles: z.record(z.string(), z.object({ url: z.string(), user: z.string().optional() })),
})

/** What is in `~/.kv4/profiles.json`. */
export type ProfilesFile = z.output<typeof File>

/** @throws SyntaxError, ZodError */
export function parseProfiles(text: string): ProfilesFile {
  return File.parse(JSON.parse(text))
}
