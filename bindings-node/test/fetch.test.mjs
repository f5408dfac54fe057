// getOrFetch: who runs the fetch, who waits, and what each of them gets.

import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'

import { FetchTimeout, InvalidValue, NotFound, RecursiveFetch } from 'scrubjay'

import { deferred, memory, until } from './support.mjs'

/** Starts `count` callers of a key; the first fetch waits for `release`. */
function crowd(cache, count, key, fetch, options = () => undefined) {
  let runs = 0
  const release = deferred()
  const callers = Array.from({ length: count }, (_, index) => cache.getOrFetch(key, 60, async (context) => {
    runs += 1
    await release.promise
    return fetch(index, context)
  }, options(index)))
  return { callers, release: release.resolve, get runs() { return runs } }
}

describe('one fetch', () => {
  test('for a thousand callers of a cold key', async (t) => {
    const cache = memory(t)
    const crowded = crowd(cache, 1000, 'k', (index) => ({ by: index }))
    assert.equal(cache.stats().waits, 999)
    crowded.release()
    for (const value of await Promise.all(crowded.callers)) assert.deepStrictEqual(value, { by: 0 })
    assert.equal(crowded.runs, 1)
    assert.equal(cache.stats().loads, 1)
    assert.deepStrictEqual(await cache.get('k'), { by: 0 })
  })

  test('may be sync', async (t) => {
    const cache = memory(t)
    assert.equal(await cache.getOrFetch('k', 60, () => 7), 7)
    assert.equal(await cache.getOrFetch('k', 60, () => 8), 7)
    const error = new Error('sync')
    await assert.rejects(cache.getOrFetch('l', 60, () => { throw error }), error)
  })

  test('may be a thenable', async (t) => {
    const cache = memory(t)
    assert.equal(await cache.getOrFetch('k', 60, () => ({ then: (resolve) => resolve(7) })), 7)
    assert.equal(await cache.get('k'), 7)
    const { signal } = new AbortController()
    assert.equal(await cache.getOrFetch('l', 60, () => ({ then: (resolve) => resolve(7) }), { signal }), 7)
  })

  test('is given a signal, and its own caller nothing else', async (t) => {
    const cache = memory(t)
    await cache.getOrFetch('k', 60, (context, ...more) => {
      assert.ok(context.signal instanceof AbortSignal)
      assert.equal(context.signal, context.signal)
      assert.equal(context.signal.aborted, false)
      assert.deepStrictEqual(more, [])
      return 1
    })
    const { signal } = new AbortController()
    await cache.getOrFetch('l', 60, (context) => {
      assert.equal(context.signal, signal)
      return 1
    }, { signal })
  })

  test('the ttl and the codec are those of the call', async (t) => {
    const cache = memory(t, { staleFor: 0 })
    await cache.getOrFetch('k', 0.02, () => 1)
    await cache.getOrFetch('l', { ttl: 0.02, codec: 'msgpack' }, () => 1)
    await cache.getOrFetch('m', 60, () => [1], { codec: 'msgpack' })
    await until(async () => await cache.get('k') === undefined && await cache.get('l') === undefined, 'they end')
    assert.deepStrictEqual(await cache.get('m'), [1])
    // MessagePack has no integers of more than 64 bits.
    await assert.rejects(cache.getOrFetch('n', 60, () => 2n ** 70n, { codec: 'msgpack' }), InvalidValue)
    await assert.rejects(cache.getOrFetch('n', { codec: 'msgpack' }, () => 2n ** 70n), InvalidValue)
  })

  test('in the async context of its caller', async (t) => {
    const cache = memory(t)
    const storage = new AsyncLocalStorage()
    const release = deferred()
    const seen = []
    const fetch = (name) => async () => {
      seen.push(`${name} in ${storage.getStore()}`)
      await release.promise
      if (name === 'first') throw new DOMException('gone', 'AbortError')
      return name
    }
    const first = new AbortController()
    const leader = storage.run('A', () => cache.getOrFetch('k', 60, fetch('first'), { signal: first.signal }))
    const waiter = storage.run('B', () => cache.getOrFetch('k', 60, fetch('second')).then(() => storage.getStore()))
    first.abort()
    release.resolve()
    await assert.rejects(leader, { name: 'AbortError' })
    assert.equal(await waiter, 'B')
    assert.deepStrictEqual(seen, ['first in A', 'second in B'])
  })
})

describe('an error of the fetch', () => {
  for (const [what, thrown] of Object.entries({ 'an Error': new Error('down'), 'a string': 'down', undefined: undefined, null: null, 'an object without a text': Object.create(null) })) {
    test(`${what}: the very same to all`, async (t) => {
      const cache = memory(t)
      const { callers, release } = crowd(cache, 1000, 'k', () => { throw thrown })
      release()
      for (const { status, reason } of await Promise.allSettled(callers)) {
        assert.equal(status, 'rejected')
        assert.equal(reason, thrown)
      }
      assert.equal(cache.stats().loads, 1)
      assert.equal(cache.stats().load_errors, 1)
      assert.equal(await cache.getOrFetch('k', 60, () => 'next'), 'next')
    })
  }

  test('errors are forgotten when nobody can be given them any more', async (t) => {
    const errors = (await import('../lib/fetch-errors.js')).default
    const cache = memory(t)
    for (let round = 0; round < 20; round++) {
      const { callers, release } = crowd(cache, 10, 'k', () => { throw new Error(`${round}`) })
      release()
      await Promise.allSettled(callers)
      await assert.rejects(cache.getOrFetch('alone', 60, () => { throw new Error('alone') }))
    }
    assert.equal(errors.size(), 0)
  })

  test('NotFound is remembered, and a miss for get', async (t) => {
    const cache = memory(t, { negativeTtl: 0.5 })
    const error = new NotFound('no such user')
    const { callers, release } = crowd(cache, 10, 'k', () => { throw error })
    release()
    const outcomes = await Promise.allSettled(callers)
    assert.equal(outcomes[0].reason, error)
    for (const { reason } of outcomes) assert.ok(reason instanceof NotFound)
    await assert.rejects(cache.getOrFetch('k', 60, () => assert.fail('it is remembered')), NotFound)
    assert.equal(await cache.get('k'), undefined)
    assert.equal(cache.getSync('k'), undefined)
    assert.equal(cache.stats().loads, 1)
    await until(() => cache.getOrFetch('k', 60, () => 'there now').catch(() => undefined), 'it is forgotten')
    assert.equal(await cache.get('k'), 'there now')
  })

  test('a stale value is given instead', async (t) => {
    const cache = memory(t, { ttl: 0.02, staleFor: 60, refreshAhead: false })
    await cache.set('k', { version: 1n << 70n })
    await until(async () => await cache.get('k') === undefined, 'it is stale')
    const { callers, release } = crowd(cache, 5, 'k', () => { throw new Error('down') })
    release()
    for (const value of await Promise.all(callers)) assert.deepStrictEqual(value, { version: 1n << 70n })
    assert.equal(cache.stats().stale_served, 5)
    await assert.rejects(cache.getOrFetch('k', 60, () => { throw new NotFound() }), NotFound)
  })

  test('a value that cannot be stored is InvalidValue for all, and a stale one given instead', async (t) => {
    const cache = memory(t, { ttl: 0.02, staleFor: 60, refreshAhead: false })
    const { callers, release } = crowd(cache, 5, 'k', () => ({ a: [NaN] }))
    release()
    for (const { reason } of await Promise.allSettled(callers)) {
      assert.ok(reason instanceof InvalidValue)
      assert.equal(reason.message, 'get_or_fetch: InvalidValue: $.a[0] is NaN')
    }
    await cache.set('k', 1)
    await until(async () => await cache.get('k') === undefined, 'it is stale')
    assert.equal(await cache.getOrFetch('k', 60, () => undefined), 1)
  })

  test('InvalidValue of a call inside the fetch is an error like any other', async (t) => {
    const cache = memory(t)
    const { callers, release } = crowd(cache, 3, 'k', () => cache.set('other', NaN))
    release()
    const reasons = (await Promise.allSettled(callers)).map(({ reason }) => reason)
    assert.equal(new Set(reasons).size, 1)
    assert.equal(reasons[0].operation, 'set')
  })
})

describe('a signal', () => {
  test('that is aborted already', async (t) => {
    const cache = memory(t)
    await cache.set('there', 1)
    const reason = new Error('enough')
    const signal = AbortSignal.abort(reason)
    await assert.rejects(cache.getOrFetch('k', 60, () => assert.fail('the fetch ran'), { signal }), reason)
    await assert.rejects(cache.getOrFetch('there', 60, () => 1, { signal }), reason)
    await assert.rejects(cache.getOrFetchMany(['k'], 60, () => assert.fail('the fetch ran'), { signal }), reason)
    assert.equal(cache.stats().loads, 0)
  })

  test('ends a wait, of its own caller only', async (t) => {
    const cache = memory(t)
    const controller = new AbortController()
    const { callers, release } = crowd(cache, 10, 'k', (index) => index, (index) => (index === 3 ? { signal: controller.signal } : undefined))
    const reason = new Error('enough')
    controller.abort(reason)
    await assert.rejects(callers[3], reason)
    release()
    const outcomes = await Promise.allSettled(callers)
    assert.deepStrictEqual(outcomes.filter(({ value }) => value === 0).length, 9)
  })

  test('of the leader: it rejects at once, the next one leads, what comes late is not stored', async (t) => {
    const cache = memory(t)
    const controller = new AbortController()
    const deaf = deferred()
    const leader = cache.getOrFetch('k', 60, () => deaf.promise, { signal: controller.signal })
    const next = deferred()
    const waiters = Array.from({ length: 9 }, () => cache.getOrFetch('k', 60, () => next.promise))
    controller.abort()
    await assert.rejects(leader, { name: 'AbortError' })
    await until(() => cache.stats().loads === 2, 'the next one leads')
    deaf.resolve('late')
    await turn()
    assert.equal(await cache.get('k'), undefined)
    next.resolve('in time')
    assert.deepStrictEqual(new Set(await Promise.all(waiters)), new Set(['in time']))
    assert.equal(await cache.get('k'), 'in time')
  })

  test('of the leader: whatever its fetch throws then is nobody else’s', async (t) => {
    const cache = memory(t)
    const controller = new AbortController()
    const reason = new Error('enough')
    const leader = cache.getOrFetch('k', 60, async ({ signal }) => {
      await new Promise((resolve) => { signal.addEventListener('abort', resolve) })
      throw new Error('because of the abort')
    }, { signal: controller.signal })
    const waiter = cache.getOrFetch('k', 60, () => 'second')
    controller.abort(reason)
    await assert.rejects(leader, reason)
    assert.equal(await waiter, 'second')
    assert.equal(cache.stats().load_errors, 0)
  })

  test('that its own fetch aborts', async (t) => {
    const cache = memory(t)
    for (const result of ['a value', Promise.resolve('a value'), Promise.reject(new Error('late'))]) {
      const controller = new AbortController()
      await assert.rejects(cache.getOrFetch('k', 60, () => {
        controller.abort()
        return result
      }, { signal: controller.signal }), { name: 'AbortError' })
      assert.equal(await cache.get('k'), undefined)
    }
    assert.equal(await cache.getOrFetch('k', 60, () => 1), 1)
  })

  test('an AbortError is an error like any other while the own signal is not aborted', async (t) => {
    const cache = memory(t)
    const error = new DOMException('another one', 'AbortError')
    const { callers, release } = crowd(cache, 3, 'k', () => { throw error }, () => ({ signal: new AbortController().signal }))
    release()
    for (const { reason } of await Promise.allSettled(callers)) assert.equal(reason, error)
  })

  test('shared by many callers: no warning, and nothing is left on it', async (t) => {
    const cache = memory(t)
    const warnings = []
    const note = (warning) => warnings.push(warning)
    process.on('warning', note)
    t.after(() => process.off('warning', note))
    const controller = new AbortController()
    let listeners = 0
    const { addEventListener, removeEventListener } = controller.signal
    controller.signal.addEventListener = function (...args) { listeners += 1; return addEventListener.apply(this, args) }
    controller.signal.removeEventListener = function (...args) { listeners -= 1; return removeEventListener.apply(this, args) }
    const options = () => ({ signal: controller.signal })
    for (let round = 0; round < 3; round++) {
      const { callers, release } = crowd(cache, 50, `k${round}`, () => 1, options)
      release()
      await Promise.all(callers)
      assert.equal(listeners, 0)
    }
    const { callers } = crowd(cache, 50, 'l', () => 1, options)
    controller.abort()
    for (const { status } of await Promise.allSettled(callers)) assert.equal(status, 'rejected')
    await turn()
    assert.equal(listeners, 0)
    assert.deepStrictEqual(warnings, [])
  })
})

describe('a fetch that asks for what it is loading', () => {
  test('itself', async (t) => {
    const cache = memory(t)
    let runs = 0
    const load = () => cache.getOrFetch('k', 60, () => { runs += 1; return load() })
    await assert.rejects(load(), RecursiveFetch)
    assert.equal(runs, 1)
  })

  test('later, after waits of its own', async (t) => {
    const cache = memory(t)
    await assert.rejects(cache.getOrFetch('k', 60, async () => {
      await turn()
      await Promise.all([turn(), cache.get('other')])
      return new Promise((resolve, reject) => {
        setTimeout(() => cache.getOrFetch('k', 60, () => 1).then(resolve, reject), 1)
      })
    }), RecursiveFetch)
  })

  test('through others', async (t) => {
    const cache = memory(t)
    const load = (key, next) => cache.getOrFetch(key, 60, async () => { await turn(); return next() })
    await assert.rejects(load('a', () => load('b', () => load('c', () => load('a', () => 1)))), RecursiveFetch)
  })

  test('through a call of many, and from one', async (t) => {
    const cache = memory(t)
    await assert.rejects(cache.getOrFetch('k', 60, async () => (await cache.getOrFetchMany(['l', 'k'], 60, () => ({ l: 1 }))).get('k')), (error) => {
      assert.equal(error.code, 'Partial')
      assert.ok(error.failed.get('k') instanceof RecursiveFetch)
      assert.equal(error.values.get('l'), 1)
      return true
    })
    await assert.rejects(cache.getOrFetchMany(['a', 'b'], 60, () => cache.getOrFetch('b', 60, () => 1)), (error) => {
      assert.ok(error.failed.get('a') instanceof RecursiveFetch)
      return true
    })
  })

  test('two that ask for each other', async (t) => {
    const cache = memory(t)
    const both = deferred()
    let running = 0
    const load = (key, other) => cache.getOrFetch(key, 60, async () => {
      running += 1
      if (running === 2) both.resolve()
      await both.promise
      return load(other, key)
    })
    const outcomes = await Promise.allSettled([load('a', 'b'), load('b', 'a')])
    for (const { reason } of outcomes) assert.ok(reason instanceof RecursiveFetch, `${reason}`)
  })

  test('other keys are no recursion, however deep', async (t) => {
    const cache = memory(t, { originConcurrency: 1 })
    const load = (depth) => cache.getOrFetch(`k${depth}`, 60, async () => (depth === 0 ? 0 : await load(depth - 1) + 1))
    assert.equal(await load(100), 100)
  })

  test('what a fetch left behind holds nothing', async (t) => {
    const cache = memory(t)
    let later
    await cache.getOrFetch('k', 60, () => {
      later = new Promise((resolve) => { setTimeout(async () => resolve(await cache.getOrFetch('k', 60, () => 2)), 5) })
      return 1
    })
    await cache.delete('k')
    assert.equal(await later, 2)
  })
})

describe('what happens meanwhile', () => {
  test('a delete: the callers get the value, nothing is stored', async (t) => {
    const cache = memory(t)
    const { callers, release } = crowd(cache, 3, 'k', () => 'old')
    await cache.delete('k')
    const after = cache.getOrFetch('k', 60, () => 'new')
    release()
    assert.deepStrictEqual(await Promise.all(callers), ['old', 'old', 'old'])
    assert.equal(await after, 'new')
    assert.equal(await cache.get('k'), 'new')
  })

  test('a set: it stays', async (t) => {
    const cache = memory(t)
    const { callers, release } = crowd(cache, 3, 'k', () => 'old')
    await cache.set('k', 'new')
    release()
    await Promise.all(callers)
    assert.equal(await cache.get('k'), 'new')
  })

  test('a clear', async (t) => {
    const cache = memory(t)
    const { callers, release } = crowd(cache, 3, 'k', () => 'old')
    await cache.clear()
    release()
    assert.deepStrictEqual(await Promise.all(callers), ['old', 'old', 'old'])
    assert.equal(await cache.get('k'), undefined)
  })

  test('the hard timeout: those that wait get it, the leader its value, which is not stored', async (t) => {
    const cache = memory(t, { fetchHardTimeout: 0.05 })
    const { callers, release } = crowd(cache, 3, 'k', () => 'late')
    const [leader, ...waiters] = callers
    for (const waiter of waiters) await assert.rejects(waiter, FetchTimeout)
    assert.equal(await cache.getOrFetch('k', 60, () => 'next'), 'next')
    release()
    assert.equal(await leader, 'late')
    assert.equal(await cache.get('k'), 'next')
  })

  test('the soft timeout: those that wait get the stale value', async (t) => {
    const cache = memory(t, { ttl: 0.02, staleFor: 60, fetchSoftTimeout: 0.02, refreshAhead: false })
    await cache.set('k', 'stale')
    await until(async () => await cache.get('k') === undefined, 'it is stale')
    const { callers, release } = crowd(cache, 3, 'k', () => 'fresh')
    const [leader, ...waiters] = callers
    assert.deepStrictEqual(await Promise.all(waiters), ['stale', 'stale'])
    release()
    assert.equal(await leader, 'fresh')
  })

  test('more callers than may wait for a key: those that are too many are told', async (t) => {
    const cache = memory(t)
    const release = deferred()
    const callers = Array.from({ length: 100_003 }, () => cache.getOrFetch('k', 60, () => release.promise))
    await assert.rejects(callers.at(-1), { code: 'Overloaded', retryable: true })
    release.resolve(1)
    const outcomes = await Promise.allSettled(callers)
    assert.equal(outcomes.filter(({ value }) => value === 1).length, 100_001)
  })

  test('as many fetches as may run at once, and no more', async (t) => {
    const cache = memory(t, { originConcurrency: 3 })
    let running = 0
    let most = 0
    await Promise.all(Array.from({ length: 20 }, (_, index) => cache.getOrFetch(`k${index}`, 60, async () => {
      running += 1
      most = Math.max(most, running)
      await turn()
      running -= 1
      return index
    })))
    assert.equal(most, 3)
  })
})

describe('a refresh ahead of the end', () => {
  /** A fetch that takes so long that its value is refreshed well before its end. */
  const slow = (fetch) => async () => {
    await new Promise((resolve) => { setTimeout(resolve, 300) })
    return fetch()
  }

  /** Reads a key until a refresh was drawn. */
  async function drawn(cache, fetch) {
    await cache.getOrFetch('k', 3, slow(() => 'first'))
    await until(async () => {
      assert.equal(await cache.getOrFetch('k', 3, fetch), 'first')
      return cache.stats().loads === 2
    }, 'a reader is drawn')
    assert.equal(cache.stats().misses, 1)
  }

  test('runs behind its reader', async (t) => {
    const cache = memory(t)
    const release = deferred()
    await drawn(cache, () => release.promise)
    assert.equal(await cache.get('k'), 'first')
    release.resolve('second')
    await until(async () => await cache.get('k') === 'second', 'the refreshed value is there')
  })

  test('may fail: nobody is told, nothing is unhandled', async (t) => {
    const cache = memory(t)
    await drawn(cache, () => { throw new Error('down') })
    await until(() => cache.stats().load_errors === 1, 'it failed')
    assert.equal(await cache.getOrFetch('k', 60, () => 'third'), await cache.get('k'))
  })

  test('is not ended by its reader, but by close', async (t) => {
    const cache = memory(t)
    const controller = new AbortController()
    const signals = []
    await cache.getOrFetch('k', 3, slow(() => 'first'))
    await until(async () => {
      await cache.getOrFetch('k', 3, ({ signal }) => { signals.push(signal); return new Promise(() => {}) }, { signal: controller.signal })
      return signals.length === 1
    }, 'a reader is drawn')
    controller.abort()
    assert.equal(signals[0].aborted, false)
    await cache.close()
    assert.equal(signals[0].aborted, true)
  })

  test('of many', async (t) => {
    const cache = memory(t)
    const asked = []
    const fetch = async (missing) => {
      asked.push(missing)
      await new Promise((resolve) => { setTimeout(resolve, 300) })
      return Object.fromEntries(missing.map((key) => [key, asked.length]))
    }
    await cache.getOrFetchMany(['a', 'b'], 3, fetch)
    await until(async () => {
      const values = await cache.getOrFetchMany(['a', 'b'], 3, fetch)
      assert.equal(values.size, 2)
      return asked.length > 1
    }, 'a reader is drawn')
    assert.equal(cache.stats().misses, 2)
    await until(async () => await cache.get(asked[1][0]) === 2, 'the refreshed value is there')
  })
})
