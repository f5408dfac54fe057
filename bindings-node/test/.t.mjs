import v8 from 'node:v8'
import vm from 'node:vm'
import { createRequire } from 'node:module'
import { MemoryCache } from 'scrubjay'
v8.setFlagsFromString('--expose-gc')
const gc = vm.runInNewContext('gc')
const { bytesOf } = createRequire(import.meta.url)('../lib/weigh.js')
const mem = async () => { for (let i = 0; i < 4; i++) { gc(); await new Promise(r => setTimeout(r, 2)) } const m = process.memoryUsage(); return { rss: m.rss, heap: m.heapUsed, ext: m.external, ab: m.arrayBuffers } }
const kinds = {
  small: (n) => n,
  double: (n) => n + 0.5,
  string: (n) => ('Ada Lovelace ' + n + ' of London').toUpperCase(),
  cons: (n) => 'Ada Lovelace ' + n + ' of London',
  wide: (n) => ('ключ Ada Lovelace ' + n).toUpperCase(),
  object: (n) => ({ id: n, at: n + 0.5, ok: true }),
  object10: (n) => ({ a: n, b: n, c: n, d: n, e: n, f: n, g: n, h: n, i: n, j: n }),
  array: (n) => [n, n, n, n],
  doubles: (n) => [n + .5, n + .5, n + .5, n + .5],
  buffer: () => Buffer.alloc(1000),
  small_buffer: () => Buffer.from('0123456789'),
  u8: () => new Uint8Array(1000),
  u8small: () => new Uint8Array(10),
  map: (n) => new Map([[n, n], [n + 1, n]]),
  set: (n) => new Set([n, n + 1]),
  date: () => new Date(),
  nested: (n) => ({ id: n, name: ('Ada ' + n).toUpperCase(), tags: [('a' + n).toUpperCase(), 'b'], address: { street: (n + ' main').toUpperCase(), zip: n } }),
}
const N = 20000
for (const [name, make] of Object.entries(kinds)) await (async () => {
  globalThis.list = undefined
  await mem()
  const before = await mem()
  const list = globalThis.list = new Array(N)
  for (let i = 0; i < N; i++) list[i] = make(i)
  const after = await mem()
  console.log(name.padEnd(14), 'estimate', (bytesOf(make(5))).toFixed(0), 'heap', ((after.heap - before.heap) / N).toFixed(0), 'rss', ((after.rss - before.rss) / N).toFixed(0), 'ext', ((after.ext - before.ext) / N).toFixed(0))
})()
globalThis.list = undefined
{
  const cache = globalThis.cache = new MemoryCache({ max: 200000 })
  for (let i = 0; i < 5000; i++) cache.set('w' + i, i)
  cache.clear()
  await mem()
  const before = await mem()
  for (let i = 0; i < 100000; i++) cache.set('user:' + i, i)
  const after = await mem()
  console.log('entry, number', 'heap', ((after.heap - before.heap) / 1e5).toFixed(0), 'rss', ((after.rss - before.rss) / 1e5).toFixed(0))
}
