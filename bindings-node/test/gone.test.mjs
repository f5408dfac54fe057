// What the core has given up is gone from the memory of JavaScript too.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { scratch, script } from './support.mjs'

const folder = scratch()

/** What each program needs: a garbage collector on call, and values that tell when they are collected. */
const PRELUDE = `
  import v8 from 'node:v8'
  import vm from 'node:vm'
  import { CacheService, MemoryCache } from 'scrubjay'
  v8.setFlagsFromString('--expose-gc')
  const gc = vm.runInNewContext('gc')
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
  const refs = []
  const watched = (value) => { refs.push(new WeakRef(value)); return value }
  /** How many of the watched values are left when V8 has collected what it can. */
  async function left() {
    await pause(0)
    gc()
    await pause(0)
    return refs.filter((ref) => ref.deref() !== undefined).length
  }
  /** Waits until \`condition\` gives true, for 20 s at most; how many ms that took. */
  async function until(condition) {
    const start = performance.now()
    while (!await condition()) if (performance.now() > start + 20_000) throw new Error('not within 20 s: ' + condition)
    return performance.now() - start
  }
`

async function prints(expected, source) {
  const { code, signal, stdout, stderr } = await script(folder, PRELUDE + source)
  assert.deepStrictEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: expected, stderr: '' })
}

describe('values that nobody reads any more', () => {
  test('of a MemoryCache die at their end', () => prints('5000 0\n', `
    const cache = new MemoryCache()
    const start = performance.now()
    for (let key = 0; key < 5000; key++) cache.set(key, watched({ key }), 1.5)
    const before = await left()
    const took = await until(async () => await left() === 0) + performance.now() - start
    console.log(before, await left())
    if (cache.size !== 0) throw new Error('size')
  `))

  test('of a CacheService die at their end', () => prints('2000 0\n', `
    const cache = new CacheService('memory://', '', { jitter: 0 })
    for (let key = 0; key < 2000; key++) await cache.set('k' + key, { key }, 1.5)
    for (let key = 0; key < 2000; key++) watched(cache.getSync('k' + key))
    const before = await left()
    await until(async () => await left() === 0)
    console.log(before, await left())
  `))

  test('die when they are deleted, replaced, evicted or cleared', () => prints('100\n100\n100\n100\n', `
    const cache = new CacheService('memory://', '', { jitter: 0, l1Entries: 500 })
    const each = async (work) => { for (let key = 0; key < 100; key++) await work('k' + key) }
    const ends = [
      () => each((key) => cache.delete(key)),
      () => each((key) => cache.set(key, 0)),
      async () => {
        for (let key = 0; key < 5000; key++) {
          await cache.set('other' + key, key)
          for (let time = 0; time < 3; time++) cache.getSync('other' + key)
        }
      },
      () => cache.clear(),
    ]
    for (const end of ends) {
      await each((key) => cache.set(key, { key }))
      await each((key) => { watched(cache.getSync(key)) })
      const before = await left()
      await end()
      // Eviction may leave some.
      let kept = 0
      await each((key) => { if (typeof cache.getSync(key) === 'object') kept += 1 })
      if (kept > 90) throw new Error(kept + ' are left')
      await until(async () => await left() === kept)
      console.log(before)
      refs.length = 0
      await cache.clear()
    }
  `))

  test('die in a program that never ends its turn', () => prints('true true\n', `
    const cache = new MemoryCache()
    let told = 0
    const listened = new MemoryCache({ onEvict: () => { told += 1 } })
    cache.set('used', 1, 3600)
    listened.set('used', 1, 3600)
    for (let key = 0; key < 3000; key++) { cache.set(key, {}, 0.05); listened.set(key, {}, 0.05) }
    const end = performance.now() + 20_000
    while ((cache.size > 1 || told < 3000) && performance.now() < end) { cache.get('used'); listened.get('used') }
    console.log(cache.size === 1, told === 3000)
  `))
})

test('within about a second, and without keeping a program alive', async () => {
  const { code, stdout, stderr } = await script(folder, PRELUDE + `
    const cache = new MemoryCache({ ttl: 3600 })
    const service = new CacheService()
    for (let key = 0; key < 10_000; key++) cache.set(key, {})
    for (let key = 0; key < 3000; key++) cache.set('short' + key, {}, 0.01)
    await service.set('k', 1, 0.01)
    service.getSync('k')
    process.on('exit', () => console.log(process.uptime() < 5))
  `)
  assert.deepStrictEqual({ code, stdout, stderr }, { code: 0, stdout: 'true\n', stderr: '' })
})

describe('the memory of the process', () => {
  const BOUND = 64
  /** What the runtime itself takes for such work comes first: its nursery grows to its full size. */
  const WARM_UP = `
    const rss = async () => { for (let time = 0; time < 4; time++) { gc(); await pause(2) } return process.memoryUsage.rss() / 2 ** 20 }
    const survivors = new Array(20_000)
    for (let n = 0; n < 500_000; n++) survivors[n % survivors.length] = value(n)
    survivors.length = 0
    const before = await rss()
  `

  test('stays within 1.5 times the bound of a CacheService, copies included', async (t) => {
    const { code, stdout, stderr } = await script(folder, PRELUDE + `
      const value = (n) => ({
        id: n, name: 'Ada Lovelace ' + n, email: 'ada' + n + '@example.org', active: n % 2 === 0, score: n / 7, tags: ['a' + n, 'b', 'c'],
        address: { street: n + ' Main Street', city: 'London', zip: '0' + n }, history: Array.from({ length: 10 }, (_, at) => ({ at: n + at, what: 'login' })),
      })
      const cache = new CacheService('memory://', '', { l1Bytes: ${BOUND} << 20 })
      const round = async (from, to) => {
        for (let n = from; n < to; n++) {
          await cache.set('user:' + n, value(n))
          for (let time = 0; time < 3; time++) await cache.get('user:' + (n - time * 100))
          if (n % 5000 === 0) await pause(0)
        }
      }
      ${WARM_UP}
      const measured = []
      for (let block = 1; block <= 4; block++) {
        await round(block * 60_000, (block + 1) * 60_000)
        measured.push(await rss() - before)
      }
      console.log(JSON.stringify({ measured, stats: cache.stats() }))
    `)
    assert.deepStrictEqual([code, stderr], [0, ''])
    const { measured, stats } = JSON.parse(stdout)
    t.diagnostic(stdout)
    assert.ok(stats.evictions > 50_000 && stats.bytes > 0.9 * BOUND * 2 ** 20, stdout)
    for (const grown of measured) assert.ok(grown <= 1.5 * BOUND, stdout)
  })

  test('stays within 1.5 times the bound of a MemoryCache', async (t) => {
    const { code, stdout, stderr } = await script(folder, PRELUDE + `
      const value = (n) => ({ id: n, name: 'Ada Lovelace ' + n, tags: ['a' + n, 'b'], at: n + 0.5 })
      const cache = new MemoryCache({ maxBytes: ${BOUND} << 20 })
      const round = async (from, to) => { for (let n = from; n < to; n++) { cache.set('user:' + n, value(n)); if (n % 5000 === 0) await pause(0) } }
      ${WARM_UP}
      const measured = []
      for (let block = 1; block <= 4; block++) {
        await round(block * 300_000, (block + 1) * 300_000)
        measured.push(await rss() - before)
      }
      console.log(JSON.stringify({ measured, stats: cache.stats() }))
    `)
    assert.deepStrictEqual([code, stderr], [0, ''])
    const { measured, stats } = JSON.parse(stdout)
    t.diagnostic(stdout)
    assert.ok(stats.evictions > 500_000 && stats.bytes > 0.9 * BOUND * 2 ** 20, stdout)
    for (const grown of measured) assert.ok(grown <= 1.5 * BOUND, stdout)
  })
})
