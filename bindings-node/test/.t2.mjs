import v8 from 'node:v8'
import vm from 'node:vm'
import { MemoryCache } from 'scrubjay'
v8.setFlagsFromString('--expose-gc')
const gc = vm.runInNewContext('gc')
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const mem = async () => { for (let i = 0; i < 4; i++) { gc(); await pause(2) } const m = process.memoryUsage(); const M = (x) => (x / 2 ** 20).toFixed(1); return 'rss ' + M(m.rss) + ' heapUsed ' + M(m.heapUsed) + ' heapTotal ' + M(m.heapTotal) + ' ext ' + M(m.external) + ' ' + v8.getHeapSpaceStatistics().filter(s => s.physical_space_size > 1e6).map(s => s.space_name + ' ' + M(s.space_used_size) + '/' + M(s.physical_space_size)).join(' ') }
const value = (n) => ({ id: n, name: 'Ada Lovelace ' + n, tags: ['a' + n, 'b'], at: n + 0.5, bytes: process.argv[2] && n % 10 === 0 ? Buffer.alloc(1000) : null })
const cache = new MemoryCache({ maxBytes: 64 << 20 })
const round = async (from, to) => { for (let n = from; n < to; n++) { cache.set('user:' + n, value(n)); if (n % 5000 === 0) await pause(0) } }
await round(0, 3000)
cache.clear()
console.log(await mem())
for (let b = 1; b < 4; b++) { await round(b * 300000, b * 300000 + 300000); console.log(await mem(), cache.size) }
cache.clear(); console.log(await mem())
