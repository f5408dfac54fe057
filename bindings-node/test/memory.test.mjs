// Nothing grows: many operations of every kind, and the memory of the process before and after.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { SCALE, redisServer, scratch, script } from './support.mjs'

const folder = scratch()
const redis = await redisServer()
const ROUNDS = Math.max(1, Math.round(30 * SCALE))

for (const [name, url] of [['memory', 'memory://'], ['Redis', redis.url]]) {
  test(`over ${name}, ${ROUNDS} rounds a block`, async () => {
    const { code, stdout, stderr } = await script(folder, `
      import v8 from 'node:v8'
      import vm from 'node:vm'
      import { CacheService, NotFound, cached } from 'scrubjay'

      v8.setFlagsFromString('--expose-gc')
      const gc = vm.runInNewContext('gc')
      /** What is left, in MiB, when V8 has collected all it can: when to, it decides by itself, in each version differently. */
      async function left() {
        for (let time = 0; time < 3; time++) { gc(); await new Promise(setImmediate) }
        const { rss, heapUsed } = process.memoryUsage()
        return { rss: rss / 2 ** 20, heap: heapUsed / 2 ** 20 }
      }
      const [url, rounds] = [process.argv[2], Number(process.argv[3])]
      const cache = new CacheService(url, 'rss', { l1Bytes: 1 << 20, originConcurrency: 1000 })
      const load = cached(cache, { key: 'cached:{0}', ttl: 60 }, async (id) => ({ id }))
      const settled = (calls) => Promise.allSettled(calls)
      const each = (count, call) => Array.from({ length: count }, (_, index) => call(index))

      async function round(number) {
        const key = (index) => 'k' + number + '.' + index
        const value = { number, text: 'x'.repeat(500), big: 2n ** 80n }
        await settled(each(200, (index) => cache.set(key(index), value)))
        await settled(each(200, (index) => cache.get(key(index))))
        await settled(each(200, (index) => cache.set(key(index), Buffer.alloc(500))))
        await settled(each(200, (index) => cache.getSync(key(index)) ?? cache.get(key(index))))
        await settled(each(200, (index) => cache.getOrFetch('f' + key(index % 50), 60, async () => value)))
        await settled(each(200, (index) => cache.getOrFetch('e' + key(index % 50), 60, async () => { throw new Error('down') })))
        await settled(each(50, (index) => cache.getOrFetch('n' + key(index % 10), 60, async () => { throw new NotFound() })))
        await settled(each(50, (index) => cache.getOrFetch('i' + key(index % 10), 60, () => NaN)))
        const controller = new AbortController()
        const aborted = each(100, (index) => cache.getOrFetch('a' + key(index % 10), 60, () => new Promise(() => {}), { signal: controller.signal }))
        const many = each(10, () => cache.getOrFetchMany(each(50, (index) => 'm' + key(index)), 60, (missing) => Object.fromEntries(missing.map((name) => [name, 1])), { signal: controller.signal }))
        await settled(many)
        controller.abort()
        await settled(aborted)
        await settled(each(50, (index) => load(number * 50 + index)))
        await settled([cache.getMany(each(200, key)), cache.setMany(each(200, (index) => [key(index), 1])), cache.deleteMany(each(200, key))])
        await new CacheService('memory://').set('k', value)
        cache.stats()
      }

      const measured = []
      for (let block = 0; block < 7; block++) {
        for (let number = 0; number < rounds; number++) await round(block * rounds + number)
        measured.push(await left())
      }
      console.log(JSON.stringify(measured))
      await cache.close()
    `, url, `${ROUNDS}`)
    assert.deepStrictEqual([code, stderr], [0, ''])
    const measured = JSON.parse(stdout)
    const grown = (what) => measured.slice(1).map((now, index) => now[what] - measured[index][what])
    // A block of rounds makes some 100 MB of values. The allocators take their time to have all they want, but what is
    // lost in each round is lost in every block.
    for (const what of ['rss', 'heap']) assert.ok(Math.min(...grown(what)) < 1, `${what}: ${grown(what).join(' ')} MiB more a block`)
  })
}
