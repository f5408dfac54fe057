// MemoryCache: what it does as a Map, and what a Map does not do.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { InvalidOption, MemoryCache } from 'scrubjay'

import { script, scratch, until } from './support.mjs'

const folder = scratch()

/** Everything that left, as a listener hears it. */
function listening(options = {}) {
  const left = []
  return { left, cache: new MemoryCache({ ...options, onEvict: (value, key, reason) => left.push([key, value, reason]) }) }
}

const refused = (...parts) => (error) => {
  assert.ok(error instanceof InvalidOption, `${error?.stack}`)
  for (const part of parts) assert.ok(error.message.includes(part), error.message)
  return true
}

describe('as a Map', () => {
  test('set, get, has, delete, clear, size', () => {
    const cache = new MemoryCache()
    const value = { a: 1 }
    assert.equal(cache.set('k', value), cache)
    assert.equal(cache.get('k'), value, 'the object itself')
    assert.ok(cache.has('k') && !cache.has('other'))
    assert.equal(cache.get('other'), undefined)
    assert.equal(cache.size, 1)
    cache.set('k', 2)
    assert.equal(cache.get('k'), 2)
    assert.equal(cache.size, 1)
    assert.equal(cache.delete('k'), true)
    assert.equal(cache.delete('k'), false)
    assert.equal(cache.get('k'), undefined)
    cache.set('a', 1).set('b', 2).clear()
    assert.deepStrictEqual([cache.size, [...cache]], [0, []])
    cache.set('a', 3)
    assert.deepStrictEqual([...cache], [['a', 3]])
    assert.equal(`${cache}`, '[object MemoryCache]')
  })

  test('keys of every type, told apart as by a Map', () => {
    const keys = [
      '', 'k', 'ключ', 'x'.repeat(5000), 0, 1, -1, 1.5, NaN, Infinity, 2 ** 31, 2 ** 40, 1n, 2n ** 70n, true, false, null, undefined,
      Symbol('k'), Symbol('k'), Symbol.for('k'), {}, {}, [], () => {}, Buffer.from('k'), '1', 'true',
    ]
    const cache = new MemoryCache({ max: 100 })
    for (const [index, key] of keys.entries()) cache.set(key, index)
    assert.equal(cache.size, keys.length)
    for (const [index, key] of keys.entries()) assert.equal(cache.get(key), index, String(key))
    cache.set(-0, 'zero')
    assert.deepStrictEqual([cache.get(0), cache.get(-0), cache.size], ['zero', 'zero', keys.length])
    for (const key of keys) assert.equal(cache.delete(key), true)
    assert.deepStrictEqual([cache.size, cache.stats().entries], [0, 0])
  })

  test('values of every type, undefined too', () => {
    const cache = new MemoryCache()
    const cycle = {}
    cycle.self = cycle
    const values = [
      undefined, null, 0, NaN, '', 'wide ключ', 1n, Symbol('s'), () => {}, cycle, [1.5, [2], { a: 'b' }], new Map([[1, new Set([2])]]), new Date(),
      Buffer.alloc(10), new ArrayBuffer(10), /x/, Promise.resolve(), new (class { get broken() { throw new Error() } })(),
      { get broken() { throw new Error('asked') } }, new Proxy({}, { getOwnPropertyDescriptor() { return undefined }, ownKeys() { return ['a'] } }),
    ]
    for (const value of values) {
      cache.set('k', value)
      assert.ok(Object.is(cache.get('k'), value))
      assert.ok(cache.has('k'))
    }
  })

  test('iteration, in order, and while it changes', () => {
    const cache = new MemoryCache()
    for (const key of ['a', 'b', 'c', 'd']) cache.set(key, key.toUpperCase())
    cache.set('a', 'new')
    const all = [['a', 'new'], ['b', 'B'], ['c', 'C'], ['d', 'D']]
    assert.deepStrictEqual([...cache], all)
    assert.deepStrictEqual([...cache.entries()], all)
    assert.deepStrictEqual([...cache.keys()], ['a', 'b', 'c', 'd'])
    assert.deepStrictEqual([...cache.values()], ['new', 'B', 'C', 'D'])
    const seen = []
    cache.forEach(function (value, key, same) {
      assert.equal(same, cache)
      seen.push([this.name + key, value])
    }, { name: 'the ' })
    assert.deepStrictEqual(seen, all.map(([key, value]) => [`the ${key}`, value]))
    const met = []
    for (const [key] of cache) {
      met.push(key)
      if (key === 'a') cache.delete('b')
      if (key === 'c') cache.set('e', 'E').set('d', 'changed').delete('c')
    }
    assert.deepStrictEqual(met, ['a', 'c', 'd', 'e'])
    assert.deepStrictEqual([...cache], [['a', 'new'], ['d', 'changed'], ['e', 'E']])
    for (const key of cache.keys()) cache.delete(key)
    assert.equal(cache.size, 0)
  })
})

describe('time', () => {
  test('an entry ends with its ttl', async () => {
    const { cache, left } = listening({ ttl: 0.05 })
    cache.set('default', 1).set('short', 2, 0.05).set('in options', 3, { ttl: 0.05 }).set('null', 4, null).set('long', 5, 60)
    assert.ok(cache.ttl('short') > 0 && cache.ttl('short') <= 0.05)
    assert.ok(cache.ttl('long') > 59 && cache.ttl('long') <= 60)
    assert.equal(cache.ttl('other'), undefined)
    assert.equal(cache.size, 5)
    for (const key of ['default', 'short', 'in options', 'null']) await until(() => cache.peek(key) === undefined, key)
    assert.deepStrictEqual([...cache], [['long', 5]])
    assert.deepStrictEqual([cache.has('short'), cache.ttl('short'), cache.delete('short')], [false, undefined, false])
    await until(() => cache.size === 1)
    await until(() => cache.stats().expired === 4)
    assert.deepStrictEqual(left.map(([key, , reason]) => [key, reason]).sort(), [['default', 'expired'], ['in options', 'expired'], ['null', 'expired'], ['short', 'expired']])
  })

  test('a year is not cut short', () => {
    const cache = new MemoryCache({ ttl: 31_536_000 })
    cache.set('k', 1)
    assert.ok(cache.ttl('k') > 31_535_000)
    assert.equal(cache.get('k'), 1)
  })

  test('a set begins a new life', async () => {
    const cache = new MemoryCache()
    cache.set('k', 1, 0.05).set('k', 2, 60)
    cache.set('gone', 1, 0.02)
    await until(() => !cache.has('gone'))
    await until(() => cache.stats().expired === 1)
    cache.set('gone', 3, 60)
    assert.deepStrictEqual([...cache], [['k', 2], ['gone', 3]])
  })
})

describe('bounds', () => {
  test('of entries', () => {
    const { cache, left } = listening({ max: 10 })
    for (let key = 0; key < 1000; key++) cache.set(key, `v${key}`)
    assert.equal(cache.size, 10)
    assert.deepStrictEqual([cache.stats().entries, cache.stats().evictions], [10, 990])
    assert.equal(left.length, 990)
    for (const [key, value, reason] of left) assert.deepStrictEqual([value, reason], [`v${key}`, 'capacity'])
    assert.deepStrictEqual([...cache].map(([key]) => key).concat(left.map(([key]) => key)).sort((a, b) => a - b), Array.from({ length: 1000 }, (_, key) => key))
  })

  test('of bytes, estimated, told or given', () => {
    const text = 'x'.repeat(1000)
    for (const [options, extra] of [[{ maxBytes: 100_000 }], [{ maxBytes: 100_000, sizeOf: (value) => value.length }], [{ maxBytes: 100_000, sizeOf: () => 0 }, { size: 1000 }]]) {
      const cache = new MemoryCache(options)
      for (let key = 0; key < 1000; key++) cache.set(`k${key}`, text, extra)
      assert.ok(cache.size > 60 && cache.size < 100, `${cache.size}`)
      assert.equal(cache.stats().entries, cache.size)
      assert.ok(cache.stats().bytes <= 100_000)
    }
  })

  test('both', () => {
    const cache = new MemoryCache({ max: 5, maxBytes: 10_000 })
    for (let key = 0; key < 100; key++) cache.set(key, 0)
    assert.equal(cache.size, 5)
    for (let key = 0; key < 100; key++) cache.set(key, 'x'.repeat(4000))
    assert.equal(cache.size, 2)
  })

  test('one that is too large is not kept, and neither is what it was to replace', () => {
    const { cache, left } = listening({ maxBytes: 10_000 })
    cache.set('k', 'small')
    cache.set('k', 'x'.repeat(20_000))
    assert.deepStrictEqual([cache.size, cache.get('k'), left.length], [0, undefined, 2])
    assert.deepStrictEqual(left.map(([key, , reason]) => [key, reason]), [['k', 'replaced'], ['k', 'capacity']])
  })

  test('one insert may evict more than a batch', () => {
    const { cache, left } = listening({ maxBytes: 2_000_000 })
    for (let key = 0; key < 5000; key++) cache.set(key, 0)
    const before = cache.size
    assert.ok(before > 3000, `${before}`)
    cache.set('large', 0, { size: 1_990_000 })
    assert.ok(cache.has('large'))
    while (cache.size > cache.stats().entries) assert.ok(left.length < 5001)
    assert.equal(left.length + cache.size, 5001)
    assert.ok(cache.size < 50, `${cache.size}`)
  })

  test('what is used stays', () => {
    const cache = new MemoryCache({ max: 1000 })
    for (let key = 0; key < 500; key++) cache.set(key, key)
    for (let round = 0; round < 3; round++) for (let key = 0; key < 500; key++) cache.get(key)
    for (let key = 10_000; key < 20_000; key++) cache.set(key, key)
    let kept = 0
    for (let key = 0; key < 500; key++) if (cache.has(key)) kept++
    assert.ok(kept > 400, `${kept} of 500`)
  })
})

describe('the listener', () => {
  test('hears of each entry once, with the reason', () => {
    const { cache, left } = listening({ max: 2 })
    cache.set('a', 1).set('a', 2)
    cache.delete('a')
    cache.delete('a')
    cache.set('b', 3).set('c', 4)
    cache.clear()
    assert.deepStrictEqual(left, [['a', 1, 'replaced'], ['a', 2, 'removed'], ['b', 3, 'cleared'], ['c', 4, 'cleared']])
  })

  test('may use the cache', () => {
    let calls = 0
    const cache = new MemoryCache({
      max: 3,
      onEvict(value, key, reason) {
        calls += 1
        assert.equal(cache.peek(key) === value, false)
        if (reason === 'removed') cache.set(`${key} again`, value)
        if (calls < 100 && reason === 'capacity') cache.set(`more ${calls}`, calls)
        cache.get(key)
        cache.size
        for (const entry of cache) assert.equal(entry.length, 2)
      },
    })
    cache.set('k', 1).delete('k')
    assert.equal(cache.get('k again'), 1)
    for (let key = 0; key < 20; key++) cache.set(key, key)
    assert.ok(calls >= 100)
    assert.equal(cache.size, 3)
    cache.clear()
  })

  test('that throws is an uncaught exception, and the call has done its work', async () => {
    const { code, stdout, stderr } = await script(folder, `
      import { MemoryCache } from 'scrubjay'
      const caught = []
      process.on('uncaughtException', (error) => caught.push(error.message))
      const cache = new MemoryCache({ max: 1, onEvict(value) { throw new Error('for ' + value) } })
      cache.set('a', 1).set('b', 2).delete('b')
      console.log(cache.size)
      cache.set('c', 3, 0.01)
      setTimeout(() => console.log(caught.join()), 300)
    `)
    assert.deepStrictEqual({ code, stdout, stderr }, { code: 0, stdout: '0\nfor 1,for 2,for 3\n', stderr: '' })
  })
})

test('statistics', () => {
  const cache = new MemoryCache({ max: 2 })
  cache.set('a', 1).set('b', 2).set('c', 3)
  for (let time = 0; time < 5000; time++) cache.get('c')
  for (let time = 0; time < 7; time++) cache.get('none')
  cache.peek('c')
  cache.has('none')
  assert.deepStrictEqual(cache.stats(), { hits: 5000, misses: 7, evictions: 1, expired: 0, entries: 2, bytes: 0 })
  assert.equal(cache.stats().hits, 5000)
})

describe('wrong arguments', () => {
  const wrong = [
    [{ max: 0 }, 'max must be a whole number from 1 to 8388608, is 0'],
    [{ max: 2 ** 23 + 1 }, 'max must be'], [{ max: 1.5 }, 'max must be'], [{ max: '10' }, 'max must be', 'is a string'], [{ max: null }, 'max must be', 'is null'],
    [{ maxBytes: 0 }, 'maxBytes must be a whole number from 1 to 70368744177664, is 0'], [{ maxBytes: NaN }, 'maxBytes', 'NaN'],
    [{ ttl: 0 }, 'ttl must be 0.001 to 31536000 seconds'], [{ ttl: -1 }, 'ttl must be'], [{ ttl: Infinity }, 'ttl must be'], [{ ttl: '60' }, 'ttl must be'],
    [{ sizeOf: 1 }, 'sizeOf must be a function, is 1'], [{ onEvict: {} }, 'onEvict must be a function'],
    [{ maxSize: 1 }, '"maxSize" is not an option'], [[], 'options must be an object'], [5, 'options must be an object'], [null, 'options must be an object, are null'],
  ]
  for (const [options, ...parts] of wrong) {
    test(`of the constructor: ${JSON.stringify(options)}`, () => {
      assert.throws(() => new MemoryCache(options), refused('open: InvalidOption: ', ...parts))
    })
  }

  test('of set, which then has done nothing', () => {
    const cache = new MemoryCache({ maxBytes: 10_000, sizeOf: (value) => value })
    cache.set('k', 1)
    for (const ttl of [0, -1, NaN, 31_536_001, 0.0005]) {
      assert.throws(() => cache.set('k', 2, ttl), refused('set: InvalidOption: ', 'ttl must be 0.001 to 31536000 seconds'))
      assert.throws(() => cache.set('k', 2, { ttl }), refused('set: InvalidOption: ', 'ttl must be'))
    }
    for (const options of ['60', 60n, true, [60], new Date()]) assert.throws(() => cache.set('k', 2, options), refused('ttl must be a number of seconds'))
    assert.throws(() => cache.set('k', 2, { ttl: '60' }), refused('ttl must be a number of seconds, is a string'))
    assert.throws(() => cache.set('k', 2, { tags: [] }), refused('"tags" is not an option'))
    for (const size of [-1, NaN, Infinity, '1']) {
      assert.throws(() => cache.set('k', size), refused('sizeOf must give a number of bytes from 0 to'))
      assert.throws(() => cache.set('k', 2, { size }), refused('size must be a number of bytes from 0 to'))
    }
    assert.deepStrictEqual([...cache], [['k', 1]])
    const failing = new MemoryCache({ maxBytes: 1000, sizeOf() { throw new TypeError('mine') } })
    assert.throws(() => failing.set('k', 1), { name: 'TypeError', message: 'mine' })
    assert.equal(failing.size, 0)
  })
})

test('against a plain model, with everything mixed', () => {
  const cache = new MemoryCache({ max: 10_000 })
  const model = new Map()
  let seed = 20_261_126
  const random = (below) => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0
    return (seed >>> 8) % below
  }
  for (let step = 0; step < 30_000; step++) {
    const key = `k${random(500)}`
    switch (random(6)) {
      case 0: case 1:
        cache.set(key, step)
        model.set(key, step)
        break
      case 2:
        assert.equal(cache.delete(key), model.delete(key))
        break
      case 3:
        if (random(500) > 0) break
        cache.clear()
        model.clear()
        break
      default:
        assert.equal(cache.get(key), model.get(key))
    }
    assert.equal(cache.size, model.size)
  }
  assert.deepStrictEqual(new Map(cache), model)
})

test('a cache that nobody holds goes, with what is in it', async () => {
  const { code, stdout, stderr } = await script(folder, `
    import v8 from 'node:v8'
    import vm from 'node:vm'
    import { MemoryCache } from 'scrubjay'
    v8.setFlagsFromString('--expose-gc')
    const gc = vm.runInNewContext('gc')
    let gone = 0
    const registry = new FinalizationRegistry(() => { gone += 1 })
    ;(() => {
      for (let index = 0; index < 20; index++) {
        const cache = new MemoryCache()
        const value = { index }
        cache.set('k', value, 3600)
        registry.register(cache, index)
        registry.register(value, index)
      }
    })()
    const deadline = performance.now() + 20_000
    while (gone < 40 && performance.now() < deadline) { gc(); await new Promise(setImmediate) }
    console.log(gone)
  `)
  assert.deepStrictEqual({ code, stdout, stderr }, { code: 0, stdout: '40\n', stderr: '' })
})
