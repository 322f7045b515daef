import { StoreSubject } from './store-subject'
import type { Subject } from './subject'
import { runWriters } from './writers'

/** Proves that the campaign would see it: samples are acknowledged before they are on disk. */
async function open(...of: Parameters<typeof StoreSubject.open>): Promise<Subject> {
  const subject = await StoreSubject.open(...of)
  const append = subject.append.bind(subject)
  subject.append = async (...sample) => {
    setTimeout(() => void append(...sample), 20)
  }
  return subject
}

const [directory, writers, run] = process.argv.slice(2)
void runWriters(open, directory!, Number(writers), Number(run))
