// The cache itself: reads, writes, keys, options, errors, the end.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import vm from 'node:vm'
import { describe, test } from 'node:test'

import * as scrubjay from 'scrubjay'

import { PACKAGE, deferred, memory, until } from './support.mjs'

const { CacheService, Closed, InvalidKey, InvalidOption, InvalidValue, NotFound, PartialError, ScrubjayError } = scrubjay

/** What an error is, for comparison. */
const like = (Class, operation, ...parts) => (error) => {
  assert.ok(error instanceof Class, `${error?.stack}`)
  assert.ok(error instanceof ScrubjayError)
  assert.equal(error.operation, operation)
  for (const part of [`${operation}: ${error.code}: `, ...parts]) assert.ok(error.message.includes(part), error.message)
  return true
}

describe('reads and writes', () => {
  test('what was set is there, until it is deleted', async (t) => {
    const cache = memory(t)
    assert.equal(await cache.get('k'), undefined)
    assert.equal(cache.getSync('k'), undefined)
    const receipt = await cache.set('k', { a: 1 }, 60)
    assert.equal(receipt.pending, false)
    assert.match(receipt.token, /^[0-9a-f]{32}$/)
    assert.deepStrictEqual(await cache.get('k'), { a: 1 })
    assert.deepStrictEqual(cache.getSync('k'), { a: 1 })
    const later = await cache.delete('k')
    assert.ok(later.token > receipt.token)
    assert.equal(await cache.get('k'), undefined)
  })

  test('a cached null is a hit', async (t) => {
    const cache = memory(t)
    await cache.set('k', null)
    assert.equal(await cache.get('k'), null)
    assert.equal(cache.getSync('k'), null)
    assert.ok((await cache.getMany(['k'])).has('k'))
    assert.equal(await cache.getOrFetch('k', 60, () => assert.fail('null is a value')), null)
  })

  test('a value ends with its ttl', async (t) => {
    const cache = memory(t, { ttl: 0.02 })
    await cache.set('default', 1)
    await cache.set('short', 1, 0.02)
    await cache.set('long', 1, 60)
    await cache.set('in options', 1, { ttl: 0.02 })
    await cache.set('null is the default', 1, null)
    for (const key of ['default', 'short', 'in options', 'null is the default']) {
      await until(async () => await cache.get(key) === undefined, key)
    }
    assert.equal(await cache.get('long'), 1)
  })

  test('many at once', async (t) => {
    const cache = memory(t)
    await cache.setMany(new Map([['a', 1], ['b', null]]), 60)
    await cache.setMany({ c: 3 }, { ttl: 60, codec: 'msgpack' })
    await cache.setMany([['d', 4], [Buffer.from('é'), 5]])
    assert.deepStrictEqual(await cache.getMany(['d', 'none', 'a', 'b', 'é']), new Map([['d', 4], ['a', 1], ['b', null], ['é', 5]]))
    assert.deepStrictEqual([...(await cache.getMany(new Set(['c', 'a']))).keys()], ['c', 'a'])
    await cache.deleteMany(new Set(['a', 'b']))
    assert.deepStrictEqual(await cache.getMany(['a', 'b', 'c']), new Map([['c', 3]]))
    await cache.clear()
    assert.deepStrictEqual(await cache.getMany(['c', 'd']), new Map())
    assert.deepStrictEqual(await cache.getMany([]), new Map())
    assert.equal((await cache.setMany([])).pending, false)
    assert.equal((await cache.deleteMany([])).pending, false)
  })

  test('all entries are checked before the first is stored', async (t) => {
    const cache = memory(t)
    await assert.rejects(cache.setMany({ a: 1, b: NaN }), like(InvalidValue, 'set_many', '$ is NaN'))
    await assert.rejects(cache.setMany([['a', 1], ['', 2]]), like(InvalidKey, 'set_many'))
    assert.equal(await cache.get('a'), undefined)
  })

  test('what is no collection of keys or entries', async (t) => {
    const cache = memory(t)
    for (const keys of [undefined, null, 'abc', 7, {}, Buffer.from('abc')]) {
      await assert.rejects(cache.getMany(keys), like(InvalidOption, 'get_many', 'keys must be'))
      await assert.rejects(cache.deleteMany(keys), like(InvalidOption, 'delete_many', 'keys must be'))
    }
    for (const entries of [undefined, null, 'abc', 7, [1], [['a']], ['ab']]) {
      await assert.rejects(cache.setMany(entries), like(InvalidOption, 'set_many', 'entries must be'))
    }
  })
})

describe('keys', () => {
  test('text and its UTF-8 are the same key', async (t) => {
    const cache = memory(t)
    for (const key of ['k', 'é漢🐦', '\u0000', ' ', '__proto__', 'k'.repeat(1024), 'é'.repeat(512), '\ufffd']) {
      await cache.set(key, key)
      assert.equal(await cache.get(Buffer.from(key)), key)
      assert.equal(await cache.get(new Uint8Array(Buffer.from(key))), key)
    }
    await cache.set(Buffer.from([255, 0]), 'bytes')
    assert.equal(await cache.get(Buffer.from([255, 0])), 'bytes')
    assert.equal(cache.stats().entries, 9)
  })

  const calls = {
    get: (cache, key) => cache.get(key),
    set: (cache, key) => cache.set(key, 1),
    delete: (cache, key) => cache.delete(key),
    get_or_fetch: (cache, key) => cache.getOrFetch(key, 60, () => assert.fail('the fetch ran')),
    get_many: (cache, key) => cache.getMany(['good', key]),
    set_many: (cache, key) => cache.setMany([['good', 1], [key, 1]]),
    delete_many: (cache, key) => cache.deleteMany(['good', key]),
    get_or_fetch_many: (cache, key) => cache.getOrFetchMany(['good', key], 60, () => assert.fail('the fetch ran')),
  }
  for (const [operation, call] of Object.entries(calls)) {
    test(`${operation} refuses what is no key`, async (t) => {
      const cache = memory(t)
      const others = [[undefined, 'undefined'], [null, 'null'], [7, 'a number'], [7n, 'a bigint'], [true, 'a boolean'], [Symbol('k'), 'a symbol'], [{}, 'an object'], [['k'], 'an object'], [new Date(), 'an object'], [new Uint16Array(1), 'an object'], [() => {}, 'a function']]
      for (const [key, type] of others) {
        await assert.rejects(call(cache, key), like(InvalidKey, operation, `key must be a string or bytes, is ${type}`))
      }
      for (const key of ['a\ud800b', '\udc00', '\ufffd\ud83d']) {
        await assert.rejects(call(cache, key), like(InvalidKey, operation, 'surrogate'))
      }
      for (const key of ['', Buffer.alloc(0), 'k'.repeat(1025), 'é'.repeat(513), Buffer.alloc(1025), 'k'.repeat(100_000)]) {
        await assert.rejects(call(cache, key), like(InvalidKey, operation, '1024'))
      }
      assert.equal(await cache.get('good'), undefined)
    })
  }

  test('getSync throws', (t) => {
    const cache = memory(t)
    assert.throws(() => cache.getSync(''), like(InvalidKey, 'get'))
    assert.throws(() => cache.getSync(7), like(InvalidKey, 'get', 'is a number'))
  })
})

describe('options', () => {
  test('may be named as in JavaScript or as everywhere', async () => {
    for (const options of [{ maxValue: 2048 }, { max_value: 2048 }]) {
      const cache = new CacheService('memory://', '', options)
      await assert.rejects(cache.set('k', 'x'.repeat(2048)), /max_value = 2048/)
      await cache.close()
    }
  })

  test('of a configuration that services in several languages share', async () => {
    const config = JSON.parse('{"url": "memory://", "prefix": "shop", "ttl": 60, "l1_entries": 5, "stale_for": null}')
    const cache = new CacheService(config.url, config.prefix, config)
    await cache.close()
    await new CacheService(undefined, undefined, config).close()
    assert.throws(() => new CacheService('memory://', 'not a prefix', config), like(InvalidOption, 'open', 'prefix'))
  })

  test('undefined is the default', async () => {
    await new CacheService(undefined, undefined, { ttl: undefined, l1Bytes: undefined }).close()
    await new CacheService(new URL('redis://localhost:1')).close()
  })

  const wrong = [
    [['memory://', '', { ttl: 0 }], 'ttl must be 0.001 to 31536000 seconds, is 0'],
    [['memory://', '', { ttl: NaN }], 'ttl must be a number of seconds'],
    [['memory://', '', { ttl: Infinity }], 'ttl must be a number of seconds'],
    [['memory://', '', { ttl: '60' }], 'ttl must be a number of seconds'],
    [['memory://', '', { ttl: () => 60 }], 'ttl must be a number of seconds'],
    [['memory://', '', { ttl: Symbol('ttl') }], 'ttl must be a number of seconds'],
    [['memory://', '', { jitter: 0.6 }], 'jitter must be 0 to 0.5, is 0.6'],
    [['memory://', '', { l1Bytes: -1 }], 'l1_bytes must be'],
    [['memory://', '', { l1Bytes: 1.5 }], 'l1_bytes must be'],
    [['memory://', '', { breaker: 1 }], 'breaker must be true or false, is 1'],
    [['memory://', '', { codec: 'raw' }], 'codec must be'],
    [['memory://', '', { maxStalenes: 1 }], '"max_stalenes" is not an option'],
    [['memory://', '', { maxStaleness: 1, max_staleness: 1 }], 'max_staleness is given twice'],
    [['memory://', '', { __proto__: null, ['__proto__']: 1 }], '"__proto__" is not an option'],
    [['memory://', '', 60], 'options must be an object'],
    [['memory://', '', null], 'options must be an object'],
    [['memory://', '', []], 'options must be an object'],
    [['memory://', '', new Map([['ttl', 60]])], 'options must be an object, are of type Map'],
    [['memory://', 'a b'], 'prefix'],
    [['memory://', 'p'.repeat(129)], '128'],
    [['memory://', 7], 'prefix must be a string, is 7'],
    [[7], 'url must be a string, is 7'],
    [['http://localhost'], 'url'],
  ]
  for (const [args, message] of wrong) {
    test(message, () => {
      assert.throws(() => new CacheService(...args), like(InvalidOption, 'open', message))
    })
  }

  test('of writes', async (t) => {
    const cache = memory(t)
    const calls = {
      set: (options) => cache.set('k', 1, options),
      set_many: (options) => cache.setMany({ k: 1 }, options),
      get_or_fetch: (options) => cache.getOrFetch('k', options, () => assert.fail('the fetch ran')),
      get_or_fetch_many: (options) => cache.getOrFetchMany(['k'], options, () => assert.fail('the fetch ran')),
    }
    for (const [operation, call] of Object.entries(calls)) {
      for (const ttl of [0, -1, 0.0001, 31536001, NaN, Infinity, -Infinity]) {
        await assert.rejects(call(ttl), like(InvalidOption, operation, 'ttl must be 0.001 to 31536000'))
        await assert.rejects(call({ ttl }), like(InvalidOption, operation, 'ttl must be'))
      }
      for (const [ttl, type] of [['60', 'a string'], [true, 'a boolean'], [60n, 'a bigint'], [() => 60, 'a function']]) {
        await assert.rejects(call(ttl), like(InvalidOption, operation, `ttl must be a number of seconds, is ${type}`))
        await assert.rejects(call({ ttl }), like(InvalidOption, operation, 'ttl must be a number'))
      }
      for (const codec of ['raw', 'JSON', '', 7, {}]) {
        await assert.rejects(call({ codec }), like(InvalidOption, operation, 'codec must be'))
      }
      for (const odd of [new Date(), new Map([['ttl', 60]]), new Number(60), [60], Buffer.alloc(1)]) {
        await assert.rejects(call(odd), like(InvalidOption, operation, 'ttl must be a number of seconds, is of type'))
      }
      await assert.rejects(call({ tag: 'a' }), like(InvalidOption, operation, '"tag" is not an option'))
    }
    assert.equal(await cache.get('k'), undefined)
  })

  test('of fetches', async (t) => {
    const cache = memory(t)
    const fetch = () => assert.fail('the fetch ran')
    for (const signal of [null, 7, 'abort', {}]) {
      await assert.rejects(cache.getOrFetch('k', 60, fetch, { signal }), like(InvalidOption, 'get_or_fetch', 'signal must be'))
    }
    await assert.rejects(cache.getOrFetch('k', 60, fetch, { tag: [] }), like(InvalidOption, 'get_or_fetch', '"tag"'))
    await assert.rejects(cache.getOrFetch('k', 60, fetch, 7), like(InvalidOption, 'get_or_fetch', 'options must be'))
    await assert.rejects(cache.getOrFetch('k', 60, fetch, { codec: 'raw' }), like(InvalidOption, 'get_or_fetch', 'codec'))
    for (const none of [undefined, null, 7, 'fetch', Promise.resolve(1)]) {
      await assert.rejects(cache.getOrFetch('k', 60, none), like(InvalidOption, 'get_or_fetch', 'fetch must be a function'))
      await assert.rejects(cache.getOrFetchMany(['k'], 60, none), like(InvalidOption, 'get_or_fetch_many', 'fetch must be'))
    }
  })
})

describe('errors', () => {
  test('there is a class for every kind, the same to import and require', async () => {
    const native = (await import('../lib/native.js')).default
    const kinds = native.kinds()
    assert.equal(kinds.length, 16)
    for (const [errno, name, retryable] of kinds) {
      const Class = name === 'Partial' ? PartialError : scrubjay[name]
      const error = name === 'Partial' ? new PartialError(new Map([['a', 1]]), new Map()) : new Class('why', { operation: 'test', cause: 7 })
      assert.ok(error instanceof ScrubjayError && error instanceof Error)
      assert.equal(error.name, Class.name)
      assert.deepStrictEqual([error.code, error.errno, error.retryable], [name, errno, retryable])
      assert.ok(error.stack.startsWith(`${Class.name}: ${error.message}`))
      assert.deepStrictEqual(Object.keys(error).filter((key) => key !== 'failed' && key !== 'values'), ['code', 'errno', 'retryable', 'operation'])
      if (name !== 'Partial') assert.deepStrictEqual([error.message, error.cause], [`test: ${name}: why`, 7])
    }
    assert.throws(() => new ScrubjayError('why'), TypeError)
  })

  test('NotFound needs no message', () => {
    assert.equal(new NotFound().message, 'get_or_fetch: NotFound: not found')
    assert.equal(new NotFound('no user').message, 'get_or_fetch: NotFound: no user')
    class NoUser extends NotFound {}
    assert.equal(new NoUser().code, 'NotFound')
  })

  test('everything is declared, and everything declared is there', async () => {
    const text = ['index.d.ts', 'errors.d.ts', 'through.d.ts', 'write-behind.d.ts'].map((file) => readFileSync(path.join(PACKAGE, file), 'utf8')).join('\n')
    const declared = [...text.matchAll(/^export (?:abstract )?(?:class|function) (\w+)/gm)]
    const names = declared.map(([, name]) => name).sort()
    assert.deepStrictEqual(Object.keys(scrubjay).sort(), names)
    assert.deepStrictEqual(Object.keys((await import('../lib/index.js')).default).sort(), names)
  })
})

test('objects of another realm are as good as ours', async (t) => {
  const cache = memory(t)
  const other = (source) => vm.runInNewContext(source, { AbortController })
  await cache.set(other('new Uint8Array([107])'), other('({ list: [1, { a: 2 }] })'), other('({ ttl: 60 })'))
  assert.deepStrictEqual(await cache.get('k'), { list: [1, { a: 2 }] })
  await cache.set('bytes', other('new Uint8Array([1, 2])'))
  assert.deepStrictEqual(await cache.get('bytes'), Buffer.from([1, 2]))
  await assert.rejects(cache.set('m', other('new Map()')), like(InvalidValue, 'set', 'of type Map'))
  assert.deepStrictEqual(await cache.getOrFetchMany(other('["a"]'), 60, other('() => new Map([["a", 1]])')), new Map([['a', 1]]))
  assert.equal(await scrubjay.cached(cache, 60, function load() { return 1 })(other('({ a: 1 })')), 1)
  await cache.setMany(other('new Map([["x", 1]])'))
  assert.equal(await cache.get('x'), 1)
})

describe('stats', () => {
  test('count what happened', async (t) => {
    const cache = memory(t)
    await cache.get('k')
    await cache.set('k', 1)
    await cache.get('k')
    await cache.getOrFetch('l', 60, () => 1)
    await cache.delete('k')
    const { bytes, ...stats } = cache.stats()
    assert.ok(bytes > 0)
    assert.deepStrictEqual(stats, {
      hits_l1: 1, hits_l2: 0, misses: 2, stale_served: 0, loads: 1, load_errors: 0, waits: 0, evictions: 0, expired: 0,
      invalidations: 1, pending: 0, decode_misses: 0, l2_errors: 0, driven_by_core: 0, driven_by_caller: 0,
      push_sessions: 0, coherence_lag_ms: 0,
      entries: 1, breaker_state: 'closed',
    })
  })
})

describe('close', () => {
  test('may be called more than once; later calls get Closed', async (t) => {
    const cache = memory(t)
    await cache.set('k', 1)
    assert.equal((await cache.close()).pending, false)
    assert.deepStrictEqual(await cache.close(), await cache.close())
    const closed = (operation) => like(Closed, operation, 'the cache is closed')
    await assert.rejects(cache.get('k'), closed('get'))
    assert.throws(() => cache.getSync('k'), closed('get'))
    await assert.rejects(cache.set('k', 1), closed('set'))
    await assert.rejects(cache.delete('k'), closed('delete'))
    await assert.rejects(cache.clear(), closed('clear'))
    await assert.rejects(cache.getMany(['k']), closed('get_many'))
    await assert.rejects(cache.setMany({ k: 1 }), closed('set_many'))
    await assert.rejects(cache.deleteMany(['k']), closed('delete_many'))
    await assert.rejects(cache.getOrFetch('k', 60, () => 1), closed('get_or_fetch'))
    await assert.rejects(cache.getOrFetchMany(['k'], 60, () => ({})), closed('get_or_fetch_many'))
    assert.equal(cache.stats().entries, 0)
  })

  test('callers that wait get Closed, the one that fetches its value', async (t) => {
    const cache = memory(t)
    const loaded = deferred()
    const leader = cache.getOrFetch('k', 60, () => loaded.promise)
    const waiter = cache.getOrFetch('k', 60, () => 2)
    await cache.close()
    await assert.rejects(waiter, like(Closed, 'get_or_fetch'))
    loaded.resolve(1)
    assert.equal(await leader, 1)
  })

  test('await using', { skip: Symbol.asyncDispose === undefined && 'this Node.js has no such symbol' }, async () => {
    const cache = new CacheService()
    assert.equal(await cache[Symbol.asyncDispose](), undefined)
    await assert.rejects(cache.get('k'), like(Closed, 'get'))
  })
})
