import { StoreSubject } from './store-subject'
import { runWriters } from './writers'

const [directory, writers, run] = process.argv.slice(2)
const open = StoreSubject.opening({ applyAt: 300, applyAfterMs: 30, turnAt: 40_000 })
void runWriters(open, directory!, Number(writers), Number(run))
