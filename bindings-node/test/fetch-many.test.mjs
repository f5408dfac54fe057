// getOrFetchMany: one fetch for the keys that nobody else loads.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { FetchTimeout, InvalidValue, NotFound, PartialError } from 'scrubjay'

import { deferred, memory, until } from './support.mjs'

describe('what is missing', () => {
  test('is fetched once, in the order of the keys, and stored', async (t) => {
    const cache = memory(t)
    await cache.set('b', 'B')
    const asked = []
    const fetch = (missing) => { asked.push(missing); return new Map(missing.map((key) => [key, key.toUpperCase()])) }
    const values = await cache.getOrFetchMany(['d', 'b', 'a', 'c', 'a', 'd'], 60, fetch)
    assert.deepStrictEqual(values, new Map([['d', 'D'], ['b', 'B'], ['a', 'A'], ['c', 'C']]))
    assert.deepStrictEqual(asked, [['d', 'a', 'c']])
    assert.equal(await cache.get('c'), 'C')
    await cache.getOrFetchMany(new Set(['a', 'b']), 60, fetch)
    await cache.getOrFetchMany([], 60, fetch)
    assert.equal(asked.length, 1)
    assert.equal(cache.stats().loads, 3)
  })

  test('may be given as a Map or an object, sync or not', async (t) => {
    const cache = memory(t)
    const givers = [() => ({ k: 1 }), async () => ({ k: 1 }), () => new Map([['k', 1]]), async () => Object.assign(Object.create(null), { k: 1 })]
    for (const give of givers) {
      assert.deepStrictEqual(await cache.getOrFetchMany(['k'], 60, give), new Map([['k', 1]]))
      await cache.delete('k')
    }
  })

  test('may have odd names', async (t) => {
    const cache = memory(t)
    const keys = ['__proto__', 'constructor', 'toString', 'hasOwnProperty']
    assert.deepStrictEqual(await cache.getOrFetchMany(keys, 60, () => ({})), new Map())
    const own = JSON.parse('{"__proto__": 1, "constructor": 2}')
    assert.deepStrictEqual(await cache.getOrFetchMany(keys, 60, () => own), new Map([['__proto__', 1], ['constructor', 2]]))
  })

  test('stays absent where the fetch leaves it out or gives undefined', async (t) => {
    const cache = memory(t)
    const fetch = () => ({ a: 1, b: undefined, d: null })
    assert.deepStrictEqual(await cache.getOrFetchMany(['a', 'b', 'c', 'd'], 60, fetch), new Map([['a', 1], ['d', null]]))
    assert.equal(await cache.getOrFetch('b', 60, () => 'now'), 'now')
    assert.equal(cache.stats().load_errors, 0)
  })

  test('keys of bytes', async (t) => {
    const cache = memory(t)
    const [odd, same, text] = [Buffer.from([255]), Buffer.from('k'), 'k']
    const asked = []
    const values = await cache.getOrFetchMany([odd, same, text, Buffer.from([255])], 60, (missing) => {
      asked.push(missing)
      return new Map([[Buffer.from([255]), 'odd'], ['k', 'same']])
    })
    assert.deepStrictEqual(asked, [[odd, same]])
    assert.deepStrictEqual([values.get(odd), values.get(same), values.get(text)], ['odd', 'same', 'same'])
    assert.equal(await cache.get('k'), 'same')
    await cache.clear()
    assert.equal((await cache.getOrFetchMany([same], 60, () => ({ k: 1 }))).get(same), 1)
  })

  test('takes the ttl and the codec of the call', async (t) => {
    const cache = memory(t, { staleFor: 0 })
    await cache.getOrFetchMany(['a'], { ttl: 0.02, codec: 'msgpack' }, () => ({ a: 1 }))
    await until(async () => await cache.get('a') === undefined, 'it ends')
    await assert.rejects(cache.getOrFetchMany(['a'], 60, () => ({ a: 2n ** 70n }), { codec: 'msgpack' }), PartialError)
  })
})

describe('what fails', () => {
  test('fails its keys; the others have their values', async (t) => {
    const cache = memory(t)
    await cache.set('b', 2)
    const error = new Error('down')
    await assert.rejects(cache.getOrFetchMany(['a', 'b', 'c'], 60, () => { throw error }), (partial) => {
      assert.ok(partial instanceof PartialError)
      assert.equal(partial.message, 'get_or_fetch_many: Partial: 2 of 3 keys failed')
      assert.deepStrictEqual(partial.failed, new Map([['a', error], ['c', error]]))
      assert.equal(partial.failed.get('a'), error)
      assert.deepStrictEqual(partial.values, new Map([['b', 2]]))
      return true
    })
    assert.equal(await cache.getOrFetch('a', 60, () => 1), 1)
  })

  test('NotFound is remembered for each', async (t) => {
    const cache = memory(t)
    const failed = (error) => error.failed.get('a') instanceof NotFound && error.failed.get('b') instanceof NotFound
    await assert.rejects(cache.getOrFetchMany(['a', 'b'], 60, () => { throw new NotFound() }), failed)
    await assert.rejects(cache.getOrFetchMany(['a', 'b'], 60, () => assert.fail('it is remembered')), failed)
  })

  test('a value that cannot be stored fails its key alone', async (t) => {
    const cache = memory(t)
    await assert.rejects(cache.getOrFetchMany(['a', 'b'], 60, () => ({ a: [NaN], b: 1 })), (partial) => {
      assert.ok(partial.failed.get('a') instanceof InvalidValue)
      assert.equal(partial.failed.get('a').message, 'get_or_fetch_many: InvalidValue: $[0] is NaN')
      return partial.values.get('b') === 1
    })
  })

  test('what is no Map and no object', async (t) => {
    const cache = memory(t)
    for (const result of [undefined, null, 7, 'text', [['a', 1]]]) {
      await assert.rejects(cache.getOrFetchMany(['a'], 60, () => result), (partial) => {
        assert.match(partial.failed.get('a').message, /InvalidValue: the fetch must give a Map, or an object/)
        return true
      })
    }
  })

  test('a stale value is given instead', async (t) => {
    const cache = memory(t, { ttl: 0.02, staleFor: 60, refreshAhead: false })
    await cache.setMany({ a: 1, b: 2 })
    await until(async () => (await cache.getMany(['a', 'b'])).size === 0, 'they are stale')
    const values = await cache.getOrFetchMany(['a', 'b'], 60, () => { throw new Error('down') })
    assert.deepStrictEqual(values, new Map([['a', 1], ['b', 2]]))
  })
})

describe('what others load', () => {
  test('is waited for', async (t) => {
    const cache = memory(t)
    const single = deferred()
    const other = cache.getOrFetch('b', 60, () => single.promise)
    const asked = []
    const many = cache.getOrFetchMany(['a', 'b', 'c'], 60, (missing) => { asked.push(missing); return { a: 1, c: 3 } })
    const nested = cache.getOrFetchMany(['c', 'b'], 60, () => assert.fail('others load all of it'))
    single.resolve(2)
    assert.equal(await other, 2)
    assert.deepStrictEqual(await many, new Map([['a', 1], ['b', 2], ['c', 3]]))
    assert.deepStrictEqual(await nested, new Map([['c', 3], ['b', 2]]))
    assert.deepStrictEqual(asked, [['a', 'c']])
  })

  test('fails with the very same error', async (t) => {
    const cache = memory(t)
    const gate = deferred()
    const error = new Error('down')
    const other = cache.getOrFetch('b', 60, () => gate.promise)
    const many = cache.getOrFetchMany(['a', 'b'], 60, () => ({ a: 1 }))
    gate.reject(error)
    await assert.rejects(other, error)
    await assert.rejects(many, (partial) => partial.failed.get('b') === error && partial.values.get('a') === 1)
  })

  test('is loaded here when the other gives up, each as soon as it is free', async (t) => {
    const cache = memory(t)
    const controllers = ['b', 'c'].map((key) => {
      const controller = new AbortController()
      cache.getOrFetch(key, 60, () => new Promise(() => {}), { signal: controller.signal }).catch(() => {})
      return controller
    })
    const asked = []
    const many = cache.getOrFetchMany(['a', 'b', 'c'], 60, (missing) => {
      asked.push(missing)
      return Object.fromEntries(missing.map((key) => [key, key]))
    })
    // The later one first: it must not wait for the earlier.
    controllers[1].abort()
    await until(async () => await cache.get('c') === 'c', 'c is loaded')
    controllers[0].abort()
    assert.deepStrictEqual(await many, new Map([['a', 'a'], ['b', 'b'], ['c', 'c']]))
    assert.deepStrictEqual(asked, [['a'], ['c'], ['b']])
  })

  test('is waited for at most until its time is over', async (t) => {
    const cache = memory(t, { fetchHardTimeout: 0.05 })
    cache.getOrFetch('b', 60, () => new Promise(() => {}))
    await assert.rejects(cache.getOrFetchMany(['a', 'b'], 60, () => ({ a: 1 })), (partial) => partial.failed.get('b') instanceof FetchTimeout)
  })
})

describe('a signal', () => {
  test('ends the fetch and every wait; others lead what this caller led', async (t) => {
    const cache = memory(t)
    const controller = new AbortController()
    const single = deferred()
    const other = cache.getOrFetch('b', 60, () => single.promise)
    const many = cache.getOrFetchMany(['a', 'b'], 60, () => new Promise(() => {}), { signal: controller.signal })
    const waiter = cache.getOrFetch('a', 60, () => 'mine')
    const reason = new Error('enough')
    controller.abort(reason)
    await assert.rejects(many, reason)
    assert.equal(await waiter, 'mine')
    single.resolve(2)
    assert.equal(await other, 2)
  })

  test('ends the wait when the own fetch is done', async (t) => {
    const cache = memory(t)
    const controller = new AbortController()
    const single = deferred()
    const other = cache.getOrFetch('b', 60, () => single.promise)
    const many = cache.getOrFetchMany(['a', 'b'], 60, () => ({ a: 1 }), { signal: controller.signal })
    await until(async () => await cache.get('a') === 1, 'a is loaded')
    controller.abort()
    await assert.rejects(many, { name: 'AbortError' })
    single.resolve(2)
    await other
    assert.deepStrictEqual(await cache.getMany(['a', 'b']), new Map([['a', 1], ['b', 2]]))
  })
})

test('ten thousand keys', async (t) => {
  const cache = memory(t)
  const keys = Array.from({ length: 10_000 }, (_, index) => `k${index}`)
  const calls = Array.from({ length: 5 }, () => cache.getOrFetchMany(keys, 60, async (missing) => Object.fromEntries(missing.map((key) => [key, key]))))
  for (const values of await Promise.all(calls)) assert.equal(values.size, 10_000)
  assert.equal(cache.stats().loads, 10_000)
})
