// What a value costs the event loop by its size: the parse of its JSON, which only the language itself can make, and
// everything else (copy, look for large numbers) on top of it.
//
// PACKAGE: the folder of the package; SCALE: 1 = the full figure. Prints a table of medians, in milliseconds.

import { createRequire } from 'node:module'

const { CacheService } = createRequire(import.meta.url)(process.env.PACKAGE)
const ROUNDS = Math.max(5, Math.round(41 * Number(process.env.SCALE ?? 1)))
const SIZES = { '1 KiB': 1 << 10, '64 KiB': 64 << 10, '1 MiB': 1 << 20, '8 MiB': (8 << 20) - 1024 }

/** Rows of a table as services keep them, up to a size in JSON. */
function rows(size) {
  const row = (id) => ({ id, name: `user ${id}`, email: `user${id}@example.org`, score: id * 1.5, active: id % 2 === 0, tags: ['a', 'b'] })
  const count = Math.max(1, Math.floor(size / (JSON.stringify(row(100_000)).length + 1)))
  return Array.from({ length: count }, (_, id) => row(id))
}

function median(work) {
  const times = []
  for (let round = 0; round < ROUNDS; round++) {
    const begun = process.hrtime.bigint()
    work()
    times.push(Number(process.hrtime.bigint() - begun) / 1e6)
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1]
}

// Decodes at each hit.
const cache = new CacheService('memory://', '', { isolate: true, l1Bytes: 1 << 28 })
console.log(['size', 'JSON.parse', 'parsed from the cache', 'bytes from the cache'].map((name) => name.padStart(22)).join(''))
for (const [name, size] of Object.entries(SIZES)) {
  const value = rows(size)
  const text = JSON.stringify(value)
  await cache.set('json', value, 3600)
  await cache.set('raw', Buffer.from(text), 3600)
  const times = [() => JSON.parse(text), () => cache.getSync('json'), () => cache.getSync('raw')].map(median)
  console.log([name, ...times.map((time) => time.toFixed(3))].map((cell) => cell.padStart(22)).join(''))
}
await cache.close()
