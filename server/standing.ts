import { Kv4Error } from '../core'
import type { BanEnds, Bans, CredentialEnds, CredentialHeaders, Principal } from '../auth'
import type { Path } from '../core'

/** What of a request decides whether its caller may go on. */
export interface Caller {
  readonly principal: Principal
  readonly path: Path
  readonly address: string
  readonly headers: CredentialHeaders
}

/** Whether a caller for whom something goes on may still have it: his credential, his account, his address. */
export class Standing {
  constructor(
    private readonly options: {
      readonly bans: Pick<Bans, 'check'>
      readonly banEnds: BanEnds
      readonly credentialEnds: CredentialEnds
    },
  ) {}

  /**
   * @param ended called at most once: `unauthorized`, or `forbidden` for a ban
   * @returns releases it
   */
  hold({ principal, path, address, headers }: Caller, ended: (why: Kv4Error) => void): () => void {
    const { bans, banEnds, credentialEnds } = this.options
    const banned = () =>
      ended(new Kv4Error('forbidden', { fields: { reason: 'the address is denied here' } }))
    const credential = credentialEnds.hold(principal, headers, address, () =>
      ended(new Kv4Error('unauthorized')),
    )
    const ban = banEnds.hold(principal.bucket, path, address, banned)
    // Once more: a ban may have come before it was watched for.
    bans.check(principal.bucket, path, address).catch((error: unknown) => {
      if (error instanceof Kv4Error && error.code === 'forbidden') banned()
    })
    return () => {
      credential.release()
      ban.release()
    }
  }
}
