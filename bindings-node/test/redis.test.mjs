// A real Redis behind the cache: sharing, and what happens when it is gone.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { CacheService, NotFound } from 'scrubjay'

import { deferred, outside, redisServer, script, until } from './support.mjs'

const redis = await redisServer()
let prefixes = 0

/** Caches of one prefix, as in processes of their own. */
function pair(t, options = {}, url = redis.url) {
  prefixes += 1
  const open = () => new CacheService(url, `redis-${process.pid}-${prefixes}`, { jitter: 0, l2Timeout: 5, ...options })
  const caches = [open(), open()]
  t.after(() => Promise.all(caches.map((cache) => cache.close())))
  return caches
}

describe('shared by two caches', () => {
  const values = {
    null: null, 'an object': { a: [1, 'é', null] }, 'a big integer': 2n ** 63n, bytes: Buffer.from([0, 255]), 'minus zero': [-0], '2^60': 2 ** 60,
    'a long text': 'é"\\'.repeat(100_000),
  }
  for (const codec of ['json', 'msgpack']) {
    for (const [name, value] of Object.entries(values)) {
      test(`${name}, as ${codec}`, async (t) => {
        const [one, other] = pair(t, { codec })
        const receipt = await one.set('k', value)
        assert.equal(receipt.pending, false)
        assert.deepStrictEqual(await other.get('k'), value)
        assert.deepStrictEqual(other.getSync('k'), value)
        assert.equal(other.stats().hits_l2, 1)
      })
    }
  }

  test('a fetched value, and a remembered NotFound', async (t) => {
    const [one, other] = pair(t)
    assert.equal(await one.getOrFetch('k', 60, () => 1), 1)
    await until(async () => await redis.cli('--scan', '--pattern', `*redis-${process.pid}-${prefixes}.*:e:k`) !== '', 'it is stored')
    assert.equal(await other.getOrFetch('k', 60, () => 2), 1)
    await assert.rejects(one.getOrFetch('none', 60, () => { throw new NotFound() }), NotFound)
    await until(async () => await redis.cli('--scan', '--pattern', `*redis-${process.pid}-${prefixes}.*:e:none`) !== '', 'it is stored')
    await assert.rejects(other.getOrFetch('none', 60, () => 2), NotFound)
    assert.equal(await other.get('none'), undefined)
  })

  test('many', async (t) => {
    const [one, other] = pair(t)
    const entries = Array.from({ length: 1000 }, (_, index) => [`k${index}`, { index }])
    assert.equal((await one.setMany(entries)).pending, false)
    assert.deepStrictEqual(await other.getMany(['none', ...entries.map(([key]) => key)]), new Map(entries))
    const asked = []
    const found = await other.getOrFetchMany(['k1', 'new', 'k2'], 60, (missing) => { asked.push(...missing); return { new: 1 } })
    assert.deepStrictEqual([[...found.keys()], asked], [['k1', 'new', 'k2'], ['new']])
    await one.deleteMany(entries.slice(0, 500).map(([key]) => key))
    await until(async () => (await other.getMany(entries.map(([key]) => key))).size === 500, 'they are gone')
    await one.clear()
    await until(async () => (await other.getMany(entries.map(([key]) => key))).size === 0, 'all are gone')
  })

  test('a delete is seen by the other at once where it asks each time, and within maxStaleness where it does not', async (t) => {
    for (const maxStaleness of [0, 0.2]) {
      const [one, other] = pair(t, { maxStaleness })
      await one.set('k', 1)
      assert.equal(await other.get('k'), 1)
      await one.delete('k')
      if (maxStaleness === 0) assert.equal(await other.get('k'), undefined)
      else await until(async () => await other.get('k') === undefined, 'it is gone')
    }
  })

  test('one fetch for a thousand callers, whose error is the same for all', async (t) => {
    const [cache] = pair(t)
    const release = deferred()
    let runs = 0
    const fetch = () => { runs += 1; return release.promise }
    const callers = Array.from({ length: 1000 }, () => cache.getOrFetch('k', 60, fetch))
    await until(() => runs === 1, 'the fetch runs')
    const error = new Error('down')
    release.reject(error)
    for (const { reason } of await Promise.allSettled(callers)) assert.equal(reason, error)
    assert.equal(runs, 1)
  })

  test('a delete during a fetch', async (t) => {
    const [one, other] = pair(t)
    const [begun, release] = [deferred(), deferred()]
    const caller = one.getOrFetch('k', 60, () => { begun.resolve(); return release.promise })
    await begun.promise
    await one.delete('k')
    release.resolve('old')
    assert.equal(await caller, 'old')
    assert.equal(await one.get('k'), undefined)
    assert.equal(await other.get('k'), undefined)
  })

  test('a signal ends the wait for the server too', async (t) => {
    const [cache] = pair(t, { l2Timeout: 20, breaker: false })
    await cache.set('k', 1)
    redis.freeze()
    t.after(() => redis.thaw())
    const controller = new AbortController()
    const calls = [
      cache.getOrFetch('l', 60, () => assert.fail('the fetch ran'), { signal: controller.signal }),
      cache.getOrFetchMany(['l', 'm'], 60, () => assert.fail('the fetch ran'), { signal: controller.signal }),
    ]
    controller.abort()
    for (const call of calls) await assert.rejects(call, { name: 'AbortError' })
    redis.thaw()
    assert.equal(await cache.getOrFetch('l', 60, () => 2), 2)
  })
})

test('a call under way keeps its cache', async () => {
  const { code, stdout, stderr } = await script(outside(), `
    import { createRequire } from 'node:module'
    import v8 from 'node:v8'
    import vm from 'node:vm'
    const { CacheService } = createRequire(${JSON.stringify(import.meta.filename)})('scrubjay')
    v8.setFlagsFromString('--expose-gc')
    const gc = vm.runInNewContext('gc')
    const open = () => new CacheService(process.argv[2], 'collected-' + process.pid)
    const collect = async () => { for (let round = 0; round < 5; round++) { gc(); await new Promise(setImmediate) } }
    for (const begin of [(cache) => cache.set('k', 1), (cache) => cache.get('k'), (cache) => cache.getOrFetch('l', 60, async () => { await collect(); return 2 }), (cache) => cache.getMany(['k', 'l']), (cache) => cache.delete('k')]) {
      const call = begin(open())
      gc()
      await collect()
      const value = await call
      console.log(value?.pending ?? value)
    }
  `, redis.url)
  assert.deepStrictEqual({ code, stdout, stderr }, { code: 0, stdout: "false\n1\n2\nMap(2) { 'k' => 1, 'l' => 2 }\nfalse\n", stderr: '' })
})

test('a value that nobody can read is a counted miss', async (t) => {
  const [one, other] = pair(t)
  await one.set('k', 1)
  const key = await redis.cli('--scan', '--pattern', `*redis-${process.pid}-${prefixes}.*:e:k`)
  await redis.cli('set', key, 'no entry')
  assert.equal(await other.get('k'), undefined)
  assert.equal(other.stats().decode_misses, 1)
})

describe('a server that is gone', () => {
  test('reads go on from the fetch, writes are pending', async (t) => {
    const [cache] = pair(t, { l2Timeout: 0.1 }, 'redis://127.0.0.1:1')
    assert.equal(await cache.get('k'), undefined)
    assert.equal(await cache.getOrFetch('k', 60, () => 1), 1)
    assert.deepStrictEqual(await cache.getOrFetchMany(['k', 'l'], 60, () => ({ l: 2 })), new Map([['k', 1], ['l', 2]]))
    assert.equal((await cache.set('m', 3)).pending, true)
    assert.equal(await cache.get('m'), 3)
    assert.equal((await cache.delete('m')).pending, true)
    assert.equal(await cache.get('m'), undefined)
    assert.ok(cache.stats().l2_errors > 0)
    assert.ok(cache.stats().pending > 0)
  })

  test('comes back: what was pending lands', async (t) => {
    const server = await redisServer()
    const [one, other] = pair(t, { l2Timeout: 0.1, maxStaleness: 0 }, server.url)
    await one.set('k', 'old')
    await one.set('other', 'stays')
    server.freeze()
    assert.equal((await one.delete('k')).pending, true)
    assert.equal(await one.get('k'), undefined)
    server.thaw()
    await until(() => one.stats().pending === 0, 'nothing is pending')
    await until(async () => await other.get('other') === 'stays', 'it answers')
    assert.equal(await other.get('k'), undefined)
  })

  test('a process that ends gives what is pending a moment, and no more', async () => {
    const server = await redisServer()
    server.freeze()
    const { code, stdout, stderr } = await script(outside(), `
      import { createRequire } from 'node:module'
      const { CacheService } = createRequire(${JSON.stringify(import.meta.filename)})('scrubjay')
      const cache = new CacheService(process.argv[2], '', { l2Timeout: 0.05 })
      console.log((await cache.delete('k')).pending)
      process.exit(3)
    `, server.url)
    assert.deepStrictEqual({ code, stdout, stderr }, { code: 3, stdout: 'true\n', stderr: '' })
    server.thaw()
  })

  test('close reports what is left', async (t) => {
    const [cache] = pair(t, { l2Timeout: 0.05 }, 'redis://127.0.0.1:1')
    assert.equal((await cache.set('k', 1)).pending, true)
    assert.equal((await cache.close()).pending, true)
  })
})
