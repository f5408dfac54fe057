// Nothing grows: many operations of every kind, and the memory of the process before and after.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { SCALE, redisServer, scratch, script } from './support.mjs'

const folder = scratch()
const redis = await redisServer()
const ROUNDS = Math.max(1, Math.round(20 * SCALE))

for (const [name, url] of [['memory', 'memory://'], ['Redis', redis.url]]) {
  test(`over ${name}, ${ROUNDS} rounds`, async () => {
    const { code, stdout, stderr } = await script(folder, `
      import { CacheService, NotFound, cached } from 'scrubjay'

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

      // Long enough for every part of V8 and of the allocator to have its working set.
      for (let number = 0; number < 40; number++) await round(number)
      globalThis.gc?.()
      const before = process.memoryUsage.rss()
      for (let number = 40; number < 40 + rounds; number++) await round(number)
      globalThis.gc?.()
      console.log(JSON.stringify({ mib: (process.memoryUsage.rss() - before) / 2 ** 20 }))
      await cache.close()
    `, url, `${ROUNDS}`)
    assert.deepStrictEqual([code, stderr], [0, ''])
    // A round makes about 3 MB of values: what is kept of them would show.
    const { mib } = JSON.parse(stdout)
    assert.ok(mib < 20, `${mib} MiB more after ${ROUNDS} rounds`)
  })
}
