// Hits from decoded copies: they say what the core would say, and the core is not asked.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import path from 'node:path'
import { describe, test } from 'node:test'

import { Closed, InvalidKey, InvalidOption, NotFound } from 'scrubjay'

import { PACKAGE, memory, until } from './support.mjs'

const native = createRequire(import.meta.url)(path.join(PACKAGE, 'lib/native.js'))
const READS = ['get', 'peek', 'begin', 'get_many', 'begin_many']

/** How many reads reach the addon while `work` runs. */
async function asked(work) {
  let count = 0
  const own = Object.fromEntries(READS.map((name) => [name, native[name]]))
  for (const name of READS) native[name] = (...args) => { count += 1; return own[name](...args) }
  try {
    await work()
  } finally {
    Object.assign(native, own)
  }
  return count
}

const never = () => assert.fail('it is there')

describe('a hit', () => {
  const ways = {
    get: (cache, key) => cache.get(key),
    getSync: async (cache, key) => cache.getSync(key),
    getOrFetch: (cache, key) => cache.getOrFetch(key, 60, never),
    'getOrFetch with options': (cache, key) => cache.getOrFetch(key, { ttl: 60, codec: 'json' }, never, { signal: new AbortController().signal }),
    getMany: async (cache, key) => (await cache.getMany([key])).get(key),
    getOrFetchMany: async (cache, key) => (await cache.getOrFetchMany([key], 60, never)).get(key),
  }
  for (const [first, read] of Object.entries(ways)) {
    test(`of ${first} is decoded once, for all ways to read`, async (t) => {
      const cache = memory(t)
      await cache.set('k', { a: [1, { b: 2 }] }, 60)
      const value = await read(cache, 'k')
      assert.deepStrictEqual(value, { a: [1, { b: 2 }] })
      for (const [name, again] of Object.entries(ways)) {
        // The first call with a ttl has it checked by the core.
        await again(cache, 'k')
        assert.equal(await asked(async () => assert.equal(await again(cache, 'k'), value, name)), 0, name)
      }
    })
  }

  test('is of the value of now', async (t) => {
    const cache = memory(t)
    for (let number = 0; number < 50; number++) {
      await cache.set('k', { number })
      assert.deepStrictEqual([cache.getSync('k'), await cache.get('k')], [{ number }, { number }])
      await cache.setMany({ k: { number, many: true } })
      assert.deepStrictEqual([cache.getSync('k'), await cache.get('k')], [{ number, many: true }, { number, many: true }])
      const end = [() => cache.delete('k'), () => cache.deleteMany(['k']), () => cache.clear()][number % 3]
      await end()
      assert.deepStrictEqual([cache.getSync('k'), await cache.get('k')], [undefined, undefined])
      assert.equal(await cache.getOrFetch('k', 60, () => number), number)
      assert.equal(await cache.getOrFetch('k', 60, never), number)
    }
  })

  test('of values of every kind', async (t) => {
    const cache = memory(t)
    for (const value of [null, 0, -0, '', false, [], {}, 'ключ', 2n ** 70n, { big: [2n ** 80n] }, Buffer.from('bytes'), Buffer.alloc(0)]) {
      await cache.set('k', value)
      const first = await cache.get('k')
      assert.deepStrictEqual(first, value)
      assert.equal(await asked(async () => {
        assert.ok(Object.is(cache.getSync('k'), first))
        assert.ok(Object.is(await cache.getOrFetch('k', null, never), first))
        assert.ok((await cache.getMany(['k'])).has('k'))
      }), 0)
    }
  })

  test('by bytes is a hit by the same text', async (t) => {
    const cache = memory(t)
    await cache.set('ключ', { a: 1 })
    const bytes = Buffer.from('ключ')
    for (let time = 0; time < 3; time++) {
      assert.deepStrictEqual([await cache.get(bytes), cache.getSync(new Uint8Array(bytes)), await cache.get('ключ')], [{ a: 1 }, { a: 1 }, { a: 1 }])
      assert.deepStrictEqual(await cache.getMany([bytes, 'ключ', 'none']), new Map([[bytes, { a: 1 }], ['ключ', { a: 1 }]]))
    }
    await cache.set(bytes, { a: 2 })
    assert.deepStrictEqual([cache.getSync('ключ'), await cache.get('ключ')], [{ a: 2 }, { a: 2 }])
    await cache.delete(bytes)
    assert.deepStrictEqual([cache.getSync('ключ'), await cache.get('ключ')], [undefined, undefined])
  })

  test('ends with its ttl', async (t) => {
    const cache = memory(t)
    await cache.set('k', { a: 1 }, 0.05)
    assert.deepStrictEqual(cache.getSync('k'), { a: 1 })
    await until(() => cache.getSync('k') === undefined)
    assert.equal(await cache.get('k'), undefined)
    assert.equal(await cache.getOrFetch('k', 60, () => 'new'), 'new')
  })

  test('is counted', async (t) => {
    const cache = memory(t)
    await cache.set('k', 1)
    for (let time = 0; time < 3000; time++) cache.getSync('k')
    await cache.get('k')
    await cache.getOrFetch('k', 60, never)
    await cache.getMany(['k', 'none'])
    await cache.getOrFetchMany(['k'], 60, never)
    await cache.get('none')
    assert.deepStrictEqual([cache.stats().hits_l1, cache.stats().misses], [3004, 2])
    assert.equal(cache.stats().hits_l1, 3004)
  })

  test('of many keys, some of them elsewhere', async (t) => {
    const cache = memory(t)
    await cache.setMany({ a: 'A', c: 'C', d: 'D' })
    await cache.get('a')
    await cache.get('d')
    assert.deepStrictEqual([...await cache.getMany(['d', 'b', 'c', 'a', 'd'])], [['d', 'D'], ['c', 'C'], ['a', 'A']])
    assert.equal(await asked(async () => assert.deepStrictEqual([...await cache.getMany(['c', 'a'])], [['c', 'C'], ['a', 'A']])), 0)
    const fetched = await cache.getOrFetchMany(['d', 'b', 'c'], 60, (missing) => {
      assert.deepStrictEqual(missing, ['b'])
      return { b: 'B' }
    })
    assert.deepStrictEqual([...fetched], [['d', 'D'], ['b', 'B'], ['c', 'C']])
    assert.deepStrictEqual([...await cache.getOrFetchMany(['b', 'd', 'b'], 60, never)], [['b', 'B'], ['d', 'D']])
  })
})

test('with isolate, every hit is a value of its own', async (t) => {
  const cache = memory(t, { isolate: true })
  await cache.set('k', { list: [1] })
  const value = await cache.get('k')
  value.list.push(2)
  assert.deepStrictEqual([await cache.get('k'), cache.getSync('k'), await cache.getOrFetch('k', 60, never)], [{ list: [1] }, { list: [1] }, { list: [1] }])
  assert.notEqual(cache.getSync('k'), cache.getSync('k'))
})

test('without a memory tier there is nothing to copy', async (t) => {
  const cache = memory(t, { l1Bytes: 0 })
  await cache.set('k', { a: 1 })
  assert.deepStrictEqual([await cache.get('k'), cache.getSync('k')], [undefined, undefined])
  assert.equal(await cache.getOrFetch('k', 60, () => 1), 1)
  assert.equal(cache.stats().hits_l1, 0)
})

test('the value of a set is not the object that was set, nor that of the fetch the one it gave', async (t) => {
  const cache = memory(t)
  const value = { a: 1 }
  await cache.set('k', value)
  value.a = 2
  assert.deepStrictEqual(await cache.get('k'), { a: 1 })
  const fetched = { a: 1 }
  assert.equal(await cache.getOrFetch('f', 60, () => fetched), fetched)
  fetched.a = 2
  assert.deepStrictEqual(await cache.getOrFetch('f', 60, never), { a: 1 })
  const isolated = memory(t, { isolate: true })
  const led = await isolated.getOrFetch('l', 60, () => value)
  led.a = 3
  assert.deepStrictEqual(await isolated.get('l'), { a: 2 })
})

describe('what a hit does not let pass', () => {
  test('wrong arguments', async (t) => {
    const cache = memory(t)
    await cache.set('k', 1)
    await cache.getOrFetch('k', 60, never)
    assert.equal(cache.getSync('k'), 1)
    for (const ttl of [0, -1, NaN, 1e9, '60', true, [], { ttl: 0 }, { ttl: '60' }, { codec: 'raw' }, { codec: 5 }, { tag: [] }]) {
      await assert.rejects(cache.getOrFetch('k', ttl, never), InvalidOption, JSON.stringify(ttl))
      await assert.rejects(cache.getOrFetchMany(['k'], ttl, never), InvalidOption, JSON.stringify(ttl))
    }
    for (const fetch of [undefined, null, 1]) await assert.rejects(cache.getOrFetch('k', 60, fetch), InvalidOption)
    for (const more of [5, { signal: 5 }, { codec: 'raw' }, { other: 1 }]) await assert.rejects(cache.getOrFetch('k', 60, never, more), InvalidOption)
    await assert.rejects(cache.getMany(['k', '']), InvalidKey)
    await assert.rejects(cache.getMany(['k', 5]), InvalidKey)
    await assert.rejects(cache.getOrFetchMany(['k', 'k\ud800'], 60, never), InvalidKey)
    await assert.rejects(cache.getOrFetch('k', 60, never, { signal: AbortSignal.abort(new Error('mine')) }), { message: 'mine' })
    assert.equal(await cache.getOrFetch('k', 60, never), 1)
  })

  test('the end of the cache', async (t) => {
    const cache = memory(t)
    await cache.set('k', 1)
    assert.equal(cache.getSync('k'), 1)
    const closed = cache.close()
    assert.throws(() => cache.getSync('k'), Closed)
    await assert.rejects(cache.get('k'), Closed)
    await assert.rejects(cache.getOrFetch('k', 60, never), Closed)
    await assert.rejects(cache.getOrFetch('k', null, never), Closed)
    await assert.rejects(cache.getMany(['k']), Closed)
    await assert.rejects(cache.getMany([]), Closed)
    await assert.rejects(cache.getOrFetchMany([], 60, never), Closed)
    await closed
  })

  test('what is not there any more', async (t) => {
    const cache = memory(t, { negativeTtl: 60 })
    await cache.set('k', 1)
    assert.equal(cache.getSync('k'), 1)
    await cache.delete('k')
    await assert.rejects(cache.getOrFetch('k', 60, () => { throw new NotFound() }), NotFound)
    assert.deepStrictEqual([cache.getSync('k'), await cache.get('k')], [undefined, undefined])
    await assert.rejects(cache.getOrFetch('k', 60, never), NotFound)
  })
})

test('a hit close to its end still draws a refresh', async (t) => {
  const cache = memory(t)
  let loads = 0
  const load = async () => {
    loads += 1
    await new Promise((resolve) => setTimeout(resolve, 50))
    return loads
  }
  const started = performance.now()
  assert.equal(await cache.getOrFetch('k', 0.5, load), 1)
  await until(async () => await cache.getOrFetch('k', 0.5, load) === 2)
  assert.ok(performance.now() - started < 20_000)
  assert.ok(cache.stats().loads >= 2)
})
