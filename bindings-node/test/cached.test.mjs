// cached(): functions whose results are cached, and their keys.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'

import { CacheService, FetchFailed, InvalidKey, InvalidOption, NotFound, cached, fetched } from 'scrubjay'

import { PACKAGE, deferred, memory, redisServer, until } from './support.mjs'

const invalid = (...parts) => (error) => {
  assert.ok(error instanceof InvalidOption, `${error?.stack}`)
  assert.ok(error.message.startsWith('cached: InvalidOption: '), error.message)
  for (const part of parts) assert.ok(error.message.includes(part), error.message)
  return true
}

test('calls the function once for its arguments', async (t) => {
  const cache = memory(t)
  const calls = []
  const getUser = cached(cache, { key: 'user:{0}', ttl: 300 }, async function getUser(id, country) {
    calls.push([this, id])
    return { id, country }
  })
  const self = {}
  assert.deepStrictEqual(await getUser.call(self, 7, 'se'), { id: 7, country: 'se' })
  assert.deepStrictEqual(await getUser(7), { id: 7, country: 'se' })
  assert.deepStrictEqual(calls, [[self, 7]])
  assert.equal(calls[0][0], self)
  assert.deepStrictEqual(await cache.get('user:7'), { id: 7, country: 'se' })
  await cache.delete('user:7')
  await getUser(7)
  assert.equal(calls.length, 2)
  assert.equal(getUser.name, 'getUser')
  assert.equal(getUser.length, 2)
})

test('shares one call, its result and its error', async (t) => {
  const cache = memory(t)
  const release = deferred()
  let runs = 0
  const load = cached(cache, { key: 'k' }, async () => { runs += 1; return release.promise })
  const callers = Array.from({ length: 100 }, () => load())
  const error = new Error('down')
  release.reject(error)
  for (const { reason } of await Promise.allSettled(callers)) assert.equal(reason, error)
  assert.equal(runs, 1)
})

test('the options are a ttl or an object', async (t) => {
  const cache = memory(t, { staleFor: 0 })
  await cached(cache, 0.02, function byNumber() { return 1 })()
  await cached(cache, { ttl: 0.02, key: 'by object' }, () => 1)()
  await cached(cache, { codec: 'msgpack', key: 'as msgpack' }, () => [1])()
  await cached(cache, undefined, function byDefault() { return 1 })()
  assert.equal(cache.stats().entries, 4)
  await until(() => cache.stats().entries === 2, 'those with a short ttl end')
  await assert.rejects(cached(cache, 0, function zero() { return 1 })(), /ttl must be 0.001/)
  await assert.rejects(cached(cache, { codec: 'raw', key: 'raw' }, () => 1)(), /codec/)
})

/** An argument as the vectors write it. */
function written(value) {
  if (Array.isArray(value)) return value.map(written)
  if (typeof value !== 'object' || value === null) return value
  if (value.$int !== undefined) return Number.isSafeInteger(Number(value.$int)) ? Number(value.$int) : BigInt(value.$int)
  if (value.$float !== undefined) return Number(value.$float)
  if (value.$bytes !== undefined) return Buffer.from(value.$bytes, 'hex')
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, written(field)]))
}

describe('the vectors of default keys', () => {
  const { vectors, names } = JSON.parse(readFileSync(path.join(PACKAGE, '../tests/vectors/arguments.json'), 'utf8'))
  test('of arguments', (t) => {
    const cache = memory(t)
    const { getKey } = cached(cache, { name: 'f' }, () => 1)
    for (const { name, args, key, not_in: lacking = [] } of vectors) {
      if (!lacking.includes('node')) assert.equal(getKey(...written(args)), key, name)
    }
  })

  test('of names', (t) => {
    const cache = memory(t)
    for (const { function: name, key, error } of names) {
      if (error !== undefined) assert.throws(() => cached(cache, { name }, () => 1), invalid('name must be'))
      else assert.equal(cached(cache, { name }, () => 1).getKey(), key)
    }
  })
})

for (const [where, open] of [['in memory', async (t) => memory(t)], ['on Redis', async (t) => {
  const server = await redisServer()
  const cache = new CacheService(server.url, 'cached')
  t.after(async () => { await cache.close(); await server.stop() })
  return cache
}]]) {
  describe(where, () => {
    test('refresh, invalidate, tags and ttl', async (t) => {
      const cache = await open(t)
      let source = 1
      let runs = 0
      const load = cached(cache, { name: 'load', ttl: (id) => (id === 8 ? 0 : 60), tags: ['ids:{0}'] }, async () => { runs += 1; if (source === 0) throw new Error('down'); return source })
      assert.equal(load.getKey(7), 'load(7)')
      assert.equal(await load(7), 1)
      source = 2
      assert.equal(await load(7), 1)
      assert.equal(await load.refresh(7), 2)
      assert.equal(await load(7), 2)
      assert.equal(runs, 2)
      const receipt = await load.invalidate(7)
      assert.equal(receipt.pending, false)
      await load(7)
      assert.deepStrictEqual(load.getTags(7), ['ids:7'])
      await cache.invalidateTags(load.getTags(7))
      await load(7)
      assert.equal(runs, 4)
      await assert.rejects(load(8), /ttl/)
      source = 0
      await assert.rejects(load.refresh(7), /down/)
      source = 5
      assert.equal(await load(7), 5)
    })

    test('what is not to be kept is given', async (t) => {
      const cache = await open(t)
      let runs = 0
      const release = deferred()
      const find = cached(cache, { key: 'find', unless: (list) => list.length === 0 }, async () => { runs += 1; await release.promise; return [] })
      const callers = Array.from({ length: 10 }, () => find())
      await until(() => cache.stats().waits >= 9, 'all wait')
      release.resolve()
      for (const caller of callers) assert.deepStrictEqual(await caller, [])
      assert.equal(runs, 1)
      assert.equal(await cache.get('find'), undefined)
      const sync = cached(cache, { key: 'sync', unless: (n) => n === 1 }, () => fetched(1, { ttl: 5 }))
      assert.deepStrictEqual([await sync(), await cache.get('sync')], [1, undefined])
      assert.equal(await cache.getOrFetch('own', 60, () => fetched(7, { keep: false })), 7)
      assert.equal(await cache.get('own'), undefined)
      const many = await cache.getOrFetchMany(['a', 'b'], 60, () => ({ a: fetched(1, { keep: false }), b: 2 }))
      assert.deepStrictEqual([...many], [['a', 1], ['b', 2]])
      assert.deepStrictEqual([await cache.get('a'), await cache.get('b')], [undefined, 2])
    })

    test('results that are nothing, and errors, as asked', async (t) => {
      const cache = await open(t)
      let runs = 0
      for (const value of [null, false, 0, '']) {
        const load = cached(cache, { key: `nothing:${typeof value}${value}` }, () => { runs += 1; return value })
        for (let i = 0; i < 2; i += 1) assert.equal(await load(), value)
      }
      assert.equal(runs, 4)
      class Broken extends Error {}
      const failing = cached(cache, { key: 'failing:{0}', cacheErrors: [Broken] }, async (error) => { runs += 1; throw error === 'broken' ? new Broken('it broke') : new TypeError(error) })
      await assert.rejects(failing('broken'), Broken)
      for (let i = 0; i < 2; i += 1) {
        await assert.rejects(failing('broken'), (error) => error instanceof FetchFailed && error.message.includes('it broke'))
        await assert.rejects(failing('other'), TypeError)
      }
      assert.equal(runs, 7)
      assert.equal(await cache.get('failing:broken'), undefined)
      await failing.invalidate('broken')
      await assert.rejects(failing('broken'), Broken)
      const asked = cached(cache, { key: 'asked', cacheErrors: (error) => { if (error.message === 'a') throw new RangeError('of the predicate'); return true } }, () => { throw new Error('a') })
      await assert.rejects(asked(), RangeError)
      const absent = cached(cache, { key: 'absent', cacheErrors: Error }, () => { throw new NotFound() })
      for (let i = 0; i < 2; i += 1) await assert.rejects(absent(), NotFound)
    })
  })
}

test('generators are refused', (t) => {
  const cache = memory(t)
  for (const fn of [function* () {}, async function* () {}]) assert.throws(() => cached(cache, { key: 'k' }, fn), invalid('generator function', 'array'))
  for (const options of [{ unless: 1 }, { cacheErrors: 1 }, { cacheErrors: [Error, 7] }, { name: 7 }, { name: 'f', key: 'k' }]) {
    assert.throws(() => cached(cache, options, function f() {}), InvalidOption)
  }
})

describe('templates', () => {
  /** JSON with exact integers, as the vectors have them. */
  const vectors = JSON.parse(
    readFileSync(path.join(PACKAGE, '../tests/vectors/templates.json'), 'utf8'),
    (_, value) => (value === 18446744073709552000 ? 18446744073709551615n : value),
  ).vectors
  for (const { template, args, key, error } of vectors) {
    const given = written(args)
    test(`${template} of ${JSON.stringify(args, (_, value) => (typeof value === 'bigint' ? `${value}` : value))}`, async (t) => {
      const cache = memory(t)
      const call = async () => cached(cache, { key: template }, () => 'value')(given)
      if (error !== undefined) return assert.rejects(call, invalid('key'))
      await call()
      assert.equal(await cache.get(key), 'value')
    })
  }

  test('positions', async (t) => {
    const cache = memory(t)
    await cached(cache, { key: '{1}:{0}:{1}' }, () => 1)('a/b', 2n ** 64n)
    assert.equal(await cache.get('18446744073709551616:a%2Fb:18446744073709551616'), 1)
  })

  test('arguments that cannot stand in a key', async (t) => {
    const cache = memory(t)
    const load = cached(cache, { key: 'k:{0}' }, () => assert.fail('it ran'))
    for (const argument of [undefined, {}, [1], NaN, Infinity, Symbol('s'), () => {}, new Date(NaN), 'a\ud800']) {
      await assert.rejects(load(argument), invalid('key', '{0}'))
    }
    await assert.rejects(load(), invalid('{0}'))
    const byName = cached(cache, { key: 'k:{id}' }, () => assert.fail('it ran'))
    for (const args of [[], [7], [null], [{}], [{ id: 1 }, 2], [{ id: undefined }]]) {
      await assert.rejects(byName(...args), invalid('key', '{id}'))
    }
  })

  test('a wrong one is found at once', (t) => {
    const cache = memory(t)
    for (const key of ['{0}{1}', '{', '}', '{}', 'a\ud800']) assert.throws(() => cached(cache, { key }, () => 1), invalid('key'))
    for (const key of [7, null, {}, ['a']]) assert.throws(() => cached(cache, { key }, () => 1), invalid('key must be'))
  })
})

describe('keys by a function', () => {
  test('of the arguments and what the function is called on', async (t) => {
    const cache = memory(t)
    const load = cached(cache, { key(id) { return Buffer.from(`${this.country}:${id}`) } }, function () { return this.country })
    assert.equal(await load.call({ country: 'se' }, 7), 'se')
    assert.equal(await load.call({ country: 'no' }, 7), 'no')
    assert.equal(await cache.get('se:7'), 'se')
  })

  test('what it throws is thrown, and no key is no key', async (t) => {
    const cache = memory(t)
    const error = new Error('no key')
    await assert.rejects(cached(cache, { key: () => { throw error } }, () => 1)(), error)
    await assert.rejects(cached(cache, { key: async () => 'k' }, () => 1)(), InvalidKey)
  })
})

describe('default keys', () => {
  test('are of the name and the arguments', async (t) => {
    const cache = memory(t)
    const load = cached(cache, 60, async function load() { return 1 })
    await load(7, { b: [null, 'x'], a: true })
    assert.equal(await cache.get('load(7,{"a":true,"b":[null,"x"]})'), 1)
  })

  test('tell different arguments apart, and equal ones not', async (t) => {
    const cache = memory(t)
    const load = cached(cache, 60, function load(...args) { return args.length })
    const different = [
      [], [7], ['7'], [2n ** 64n], [2 ** 64], [new Date(0)], [new Date(1)], [new Map()], [new Set()], [new Set([{}])], [Buffer.from('a')],
      [new Uint16Array(1)], [NaN], [undefined, 1], [null, 1], [/a/], [/a/g], [new URL('http://a')], ['http://a/'], [0], [-0], [null], [''], [[]], [{}], [[7]], [7, 7], ['7,7'], [{ a: 1 }], [{ a: '1' }], [{ a: [1] }], [true],
      ['true'], [1.5], ['a', 'b'], [['a', 'b']], [{ a: 1, b: 2 }], ['\u0000'], ['"'], ['\\"'], [undefined, 1].slice(1),
    ]
    const distinct = new Set()
    for (const args of different) {
      const loads = cache.stats().loads
      await load(...args)
      if (cache.stats().loads > loads) distinct.add(args)
    }
    assert.equal(distinct.size, different.length)
    const loads = cache.stats().loads
    await load({ b: 2, a: 1 })
    await load(Object.assign(Object.create(null), { a: 1, b: 2 }))
    await load(7, undefined)
    await load(7n)
    await load(new Map([['b', 1]]))
    await load(new Set([2, 1]))
    await load({ a: 1, c: undefined })
    assert.equal(cache.stats().loads, loads + 2)
    await load(new Set([1, 2]))
    assert.equal(cache.stats().loads, loads + 2)
  })

  test('are only for arguments that are all there is to see', async (t) => {
    const cache = memory(t)
    const load = cached(cache, 60, function load() { return assert.fail('it ran') })
    class User { id = 1 }
    const cyclic = {}
    cyclic.self = cyclic
    const cases = [
      [[new User()], '$[0] is no plain object'], [[{ user: new User() }], '$[0].user is no plain object'], [[new Map([['user', new User()]])], '$[0].user'],
      [[Object(7)], 'no plain object'], [[new Proxy({}, {})], 'no plain object'], [[() => {}], '$[0] is a function'], [[{ [Symbol.iterator]: 1 }], 'has a symbol'],
      [['\ud800'], '$[0] has a surrogate'], [[{ toJSON: () => 1 }], 'no plain object'], [[cyclic], 'nested deeper'], [[Symbol('s')], 'is a symbol'],
    ]
    for (const [args, message] of cases) await assert.rejects(load(...args), invalid('key must be given', message))
  })

  test('need a name of the function', (t) => {
    const cache = memory(t)
    assert.throws(() => cached(cache, 60, () => 1), invalid('key must be given'))
  })

  test('are of one function only', async (t) => {
    const cache = memory(t)
    const make = (value) => cached(cache, 60, function load() { return value })
    const [first, second] = [make(1), make(2)]
    assert.equal(await first(), 1)
    await assert.rejects(second(), invalid('key must be given', '"load"'))
    const other = memory(t)
    assert.equal(await cached(other, 60, function load() { return 3 })(), 3)
  })
})

test('wrong arguments', (t) => {
  const cache = memory(t)
  for (const fn of [undefined, null, 7, 'f']) assert.throws(() => cached(cache, { key: 'k' }, fn), invalid('fn must be a function'))
  for (const other of [undefined, null, {}, 60]) assert.throws(() => cached(other, { key: 'k' }, () => 1), invalid('cache must be a CacheService'))
  assert.throws(() => cached(cache, { key: 'k', tag: [] }, () => 1), invalid('"tag" is not an option'))
})
