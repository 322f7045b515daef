import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createKeepers } from '../../auth/keepers'
import { Pepper } from '../../auth/pepper'
import { isGeneratedSecret } from '../../auth/secrets'
import { BucketName } from '../../core'

const cheap = { ln: 4, r: 8, p: 1 }
const { secrets } = createKeepers({ pepper: 'a pepper that is long enough', scrypt: cheap })
const elena = BucketName.of('elena')
const now = Date.now()

describe('secrets', () => {
  it('generates ones that scanners recognise and credentials can carry', () => {
    const seen = new Set<string>()
    for (let i = 0; i < 500; i++) {
      const { secret, stored } = secrets.generate(elena)
      expect(secret).toMatch(/^kv4_[0-9A-Za-z]{49}$/)
      expect(isGeneratedSecret(secret)).toBe(true)
      expect(stored.hash).not.toContain(secret.slice(4, 20))
      seen.add(secret)
    }
    expect(seen.size).toBe(500)
  })

  it('sees a typing error by the checksum', () => {
    const { secret } = secrets.generate(elena)
    for (let i = 4; i < secret.length; i++) {
      const wrong = secret.slice(0, i) + (secret[i] === 'x' ? 'y' : 'x') + secret.slice(i + 1)
      expect(isGeneratedSecret(wrong)).toBe(false)
    }
  })

  it('matches the right secret of the right owner under the right pepper, within its time', async () => {
    const made = secrets.generate(elena)
    const match = (owner: BucketName, text: string, until?: number): Promise<unknown> =>
      secrets.match(owner, text, [until === undefined ? made.stored : { ...made.stored, until }], now)
    expect(await match(elena, made.secret)).toEqual(made.stored)
    expect(await match(elena, made.secret, now + 1)).toBeDefined()
    expect(await match(elena, made.secret, now)).toBeUndefined()
    expect(await match(BucketName.of('lily'), made.secret)).toBeUndefined()
    expect(await match(elena, secrets.generate(elena).secret)).toBeUndefined()
    expect(await match(elena, made.stored.hash)).toBeUndefined()
    const others = createKeepers({ pepper: 'another pepper, long enough', scrypt: cheap }).secrets
    expect(await others.match(elena, made.secret, [made.stored], now)).toBeUndefined()
    expect(others.isOurs(made.stored)).toBe(false)
    expect(secrets.isOurs(made.stored)).toBe(true)
  })

  it('hashes a supplied secret slowly, a supplied one of the generated form quickly', async () => {
    const supplied = await secrets.accept(elena, '8af2a710-eba7-11e5-b4a0-9cdd20b4c6b5')
    expect(supplied.stored.hash).toMatch(/^\$scrypt\$ln=4,r=8,p=1,keyid=/)
    expect(await secrets.match(elena, supplied.secret, [supplied.stored], now)).toEqual(supplied.stored)
    expect(await secrets.match(elena, supplied.secret + 'x', [supplied.stored], now)).toBeUndefined()
    const moved = await secrets.accept(elena, secrets.generate(elena).secret)
    expect(moved.stored.hash).toMatch(/^\$hmac-sha256\$keyid=/)
    expect(await secrets.match(elena, moved.secret, [supplied.stored, moved.stored], now)).toEqual(
      moved.stored,
    )
  })

  it.each([
    'short',
    '!' + 'x'.repeat(20),
    'x'.repeat(10) + '#' + 'x'.repeat(10),
    'x'.repeat(257),
    'x y'.repeat(9),
    'é'.repeat(20),
  ])('refuses the supplied secret %j', async (secret) => {
    await expect(secrets.accept(elena, secret)).rejects.toMatchObject({ code: 'bad_secret_format' })
  })

  it('lets the operator choose a word', async () => {
    const { stored } = await secrets.accept(BucketName.system, 'secret', 'operator')
    expect(stored.hash).toMatch(/^\$scrypt\$/)
    await expect(secrets.accept(BucketName.system, '!x', 'operator')).rejects.toMatchObject({
      code: 'bad_secret_format',
    })
  })
})

describe('the pepper', () => {
  it('is refused when short', () => expect(() => new Pepper('short')).toThrow(/at least 16/))

  it('is made once in a file that only its owner reads', () => {
    const directory = mkdtempSync(join(tmpdir(), 'kv4-pepper-'))
    try {
      const file = join(directory, 'pepper')
      const made = Pepper.fromFile(file)
      expect(statSync(file).mode & 0o777).toBe(0o600)
      expect(Pepper.fromFile(file).id).toBe(made.id)
      expect(Pepper.fromFile(join(directory, 'other')).id).not.toBe(made.id)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
