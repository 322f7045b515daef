import type { Proof, StoredSecret } from '../../auth'
import type { BucketName, JsonObject } from '../../core'
import { optionalInteger, optionalText } from './property'
import type { AccRoom } from './room'

/** `"secret": "rotate"` asks for a generated one; no secret can be so short. */
export const ROTATE = 'rotate'

export const SECRET_PROPERTIES = ['secret', 'secret_overlap', 'secret_expires'] as const

const DEFAULT_OVERLAP = 24 * 3600
const MOST_OVERLAP = 30 * 24 * 3600

/** What a body says about the secret. */
export interface SecretChange {
  /** undefined: a generated one. */
  readonly supplied?: string
  /** Seconds for which the present secret stays valid; 0: it stops at once. */
  readonly overlap: number
}

/**
 * `secret`: `"rotate"` or the new one; `secret_overlap`: seconds, 0 to 30 days, default 24 hours. undefined: nothing is
 * asked. @throws bad_request
 */
export function secretChange(v: JsonObject): SecretChange | undefined {
  const secret = optionalText(v, 'secret')
  const overlap = optionalInteger(v, 'secret_overlap', 0, MOST_OVERLAP) ?? DEFAULT_OVERLAP
  if (secret === undefined) return undefined
  return secret === ROTATE ? { overlap } : { supplied: secret, overlap }
}

/** @throws bad_secret_format, overloaded */
export async function newSecret(
  { secrets }: Pick<AccRoom, 'secrets'>,
  owner: BucketName,
  change: SecretChange | undefined,
): Promise<{ readonly secret: string; readonly stored: StoredSecret }> {
  return change?.supplied === undefined ? secrets.generate(owner) : secrets.accept(owner, change.supplied)
}

/** The new secret first, then the one it replaces for as long as both are valid (unix ms). Never more than two. */
export function replaceSecret(proof: Proof, stored: StoredSecret, overlap: number, now: number): Proof {
  const present = proof.secrets?.[0]
  const until = Math.min(now + overlap * 1000, present?.until ?? Infinity)
  return {
    ...proof,
    secrets: present === undefined || overlap === 0 ? [stored] : [stored, { ...present, until }],
  }
}

/** What is added to the answer, this one time; `secret_expires` in unix seconds: when the old secret stops. */
export function showRotated(secret: string, overlap: number, now: number): JsonObject {
  return { secret, secret_expires: Math.floor(now / 1000) + overlap }
}
