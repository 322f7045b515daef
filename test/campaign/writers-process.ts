import { StoreSubject } from './store-subject'
import { runWriters } from './writers'

const [directory, writers, run] = process.argv.slice(2)
void runWriters(StoreSubject.open, directory!, Number(writers), Number(run))
