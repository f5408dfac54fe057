// The shop's product pages, served by Node.js: every page comes through the cache.

import { createWriteStream, readFileSync } from 'node:fs'
import { once } from 'node:events'
import sqlite from 'node-sqlite3-wasm'
import { CacheService } from 'scrubjay'

const TTL_SECONDS = 300

const config = JSON.parse(process.argv[2])
const database = new sqlite.Database(config.database, { readOnly: true })
const select = database.prepare('SELECT name, price, stock, text FROM page WHERE id = ?')
const cache = new CacheService(config.url, config.prefix)
const requests = readFileSync(config.requests)
const answers = createWriteStream(config.answers)

function load(page) {
  return { id: page, ...select.get([page]) }
}

console.log('ready')
await once(process.stdin, 'data')
const start = process.hrtime.bigint()
let before = cache.stats()
let count = 0
for (let index = config.service; index * 4 < requests.length; index += config.services) {
  const page = requests.readUInt32BE(index * 4)
  const asked = process.hrtime.bigint()
  const value = await cache.getOrFetch(`page:${page}`, TTL_SECONDS, () => load(page))
  const answered = process.hrtime.bigint()
  if (value.id !== page) throw new Error(`page ${page} answered with ${value.id}`)
  const after = cache.stats()
  const tier = after.loads > before.loads ? 'load' : after.hits_l2 > before.hits_l2 ? 'l2' : 'l1'
  before = after
  answers.write(`${(answered - start) / 1000000n} ${(Number(answered - asked) / 1000).toFixed(1)} ${tier}\n`)
  count += 1
  if (count % 500 === 0) console.log(count)
}
answers.end()
await once(answers, 'finish')
await cache.close()
select.finalize()
database.close()
console.log('done', count)
process.stdin.destroy()
