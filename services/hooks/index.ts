import { HOOK_DECLARATIONS } from '../hook'
import { HookBook } from '../hook-book'
import type { Service, ServiceContext } from '../module'
import { Duty } from './duty'
import { read } from './read'
import { remove } from './remove'
import { Slots } from './slots'
import { standardFormat } from './standard-format'
import { post, put } from './write'

/** Calls that one node makes at once, of all accounts and of one; beside these each hook has one of its own. */
const LIMITS = { all: 512, perAccount: 32, most: 2_048 }

/**
 * `_hooks`: tells endpoints of what changes. Model: layer `*hooks`, at the path that is watched an entry for each hook;
 * how far each is, and what it could not deliver, in layers of its own in the same bucket (services/hook.ts). Other
 * services register hooks in the name of accounts by the book (services/hook-book.ts).
 */
export function hooks(context: ServiceContext): Service {
  const { engine, node, epoch, webhooks, onBackgroundError = () => undefined } = context
  const book = HookBook.of(context)
  book.declare(standardFormat)
  const slots = new Slots(LIMITS)
  const { leaseMs } = webhooks
  const duty = new Duty({ engine, node, epoch, leaseMs, book, webhooks, slots, onBackgroundError })
  return {
    name: 'hooks',
    prefix: '_hooks',
    layers: HOOK_DECLARATIONS,
    routes: [read(book), put(book, context), post(book, context), remove(book)],
    start: () => duty.start(),
    stop: () => duty.stop(),
  }
}
