import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PAGES } from './pages'

for (const page of PAGES) writeFileSync(join(__dirname, '..', page.file), page.render())
