// Write-through: the source first, then the cache, in the order of the source.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { CacheService, Closed, InvalidKey, InvalidOption, InvalidValue, NotFound, PartialError, RecursiveFetch, Unsupported } from 'scrubjay'

import { deferred, memory, redisServer, until } from './support.mjs'

const redis = await redisServer()

const shared = (t, prefix = `through-${Math.random()}`) => {
  const cache = new CacheService(redis.url, prefix, { jitter: 0, l2Timeout: 2 })
  t.after(() => cache.close())
  return cache
}

const TIERS = { memory: (t) => memory(t), redis: (t) => shared(t) }

/** A table of names by numbers. */
class Table {
  rows = new Map()
  loads = 0
  beforeStore = async () => {}

  async load(id) {
    this.loads += 1
    if (!this.rows.has(id)) throw new NotFound()
    return this.rows.get(id)
  }

  loadMany(ids) {
    this.loads += 1
    return new Map(ids.map((id) => [id, this.rows.get(id)]))
  }

  async store(id, name, { signal }) {
    await this.beforeStore(signal)
    this.rows.set(id, name)
  }

  async remove(id) {
    this.rows.delete(id)
  }
}

const key = (id) => `user:${id}`

/** Has the next store wait: tells when it has begun, and goes on at the word. */
function stop(table) {
  const [begun, word] = [deferred(), deferred()]
  table.beforeStore = async () => {
    table.beforeStore = async () => {}
    begun.resolve()
    await word.promise
  }
  return [begun.promise, word]
}

for (const [tier, open] of Object.entries(TIERS)) {
  const opened = (t, options) => {
    const [cache, table] = [open(t), new Table()]
    return { cache, table, users: cache.writeThrough(table, { ttl: 60, key, ...options }) }
  }

  test(`a value goes to the source and then into the cache (${tier})`, async (t) => {
    const { cache, table, users } = opened(t, { tags: ['users'] })
    assert.equal(users.source, table)
    assert.equal(await users.get(7), undefined)
    assert.equal(await users.get(7), undefined)
    assert.equal(table.loads, 1, 'that there is none is remembered')
    assert.equal((await users.set(7, 'Ada')).pending, false)
    assert.deepEqual([table.rows.get(7), await cache.get('user:7'), await users.get(7)], ['Ada', 'Ada', 'Ada'])
    table.rows.set(8, 'Grace')
    assert.deepEqual(await users.getMany([7, 8, 9]), new Map([[7, 'Ada'], [8, 'Grace']]))
    assert.equal(table.loads, 2)
    await cache.invalidateTags(['users'])
    assert.equal(await cache.get('user:7'), undefined, 'it has its tag')
    await users.delete(7)
    assert.deepEqual([table.rows.has(7), await users.get(7)], [false, undefined])
  })

  test(`a store that fails leaves the key invalidated (${tier})`, async (t) => {
    const { cache, table, users } = opened(t)
    await users.set(7, 'Ada')
    const error = new Error('the disk is full')
    table.beforeStore = () => { throw error }
    await assert.rejects(users.set(7, 'Grace'), (thrown) => thrown === error)
    assert.equal(await cache.get('user:7'), undefined)
    assert.equal(await users.get(7), 'Ada')
    assert.equal(await cache.get('user:7'), 'Ada', 'and loads are stored again')
  })

  test(`writers follow one another, and loads meanwhile are not stored (${tier})`, async (t) => {
    const { cache, table, users } = opened(t)
    table.rows.set(7, 'old')
    const [begun, word] = stop(table)
    const first = users.set(7, 'first')
    await begun
    const controller = new AbortController()
    const gone = users.set(7, 'gone', { signal: controller.signal })
    const second = users.set(7, 'second')
    assert.deepEqual([await users.get(7), await users.get(7)], ['old', 'old'])
    assert.deepEqual([table.loads, await cache.get('user:7')], [2, undefined])
    await users.set(8, 'another key waits for nobody')
    assert.equal(table.rows.get(7), 'old')
    controller.abort()
    await assert.rejects(gone, { name: 'AbortError' })
    word.resolve()
    await Promise.all([first, second])
    assert.deepEqual([table.rows.get(7), await cache.get('user:7')], ['second', 'second'])
  })

  test(`a write that runs is told of the signal, and waited for (${tier})`, async (t) => {
    const { cache, table, users } = opened(t)
    const controller = new AbortController()
    table.beforeStore = async (signal) => {
      controller.abort()
      signal.throwIfAborted()
    }
    await assert.rejects(users.set(7, 'Ada', { signal: controller.signal }), { name: 'AbortError' })
    assert.deepEqual([table.rows.has(7), await cache.get('user:7'), (await cache.explain('user:7')).hold], [false, undefined, null])
    await assert.rejects(users.set(7, 'Ada', { signal: controller.signal }), { name: 'AbortError' })
  })

  test(`many writers and readers (${tier})`, async (t) => {
    const { cache, table, users } = opened(t)
    const write = async (worker) => { for (let n = 0; n < 20; n++) await users.set(7, `${worker}:${n}`) }
    const read = async () => { for (let n = 0; n < 40; n++) await users.get(7) }
    await Promise.all([...[1, 2, 3, 4].map(write), read(), read(), read()])
    assert.deepEqual([await cache.get('user:7'), await users.get(7)], [table.rows.get(7), table.rows.get(7)])
  })

  test(`what is wrong is told before the source is asked (${tier})`, async (t) => {
    const { cache, table, users } = opened(t)
    for (const options of [{ ttl: -1 }, { tags: [''] }, { intentTtl: 0 }, { codec: 'xml' }]) {
      await assert.rejects(cache.writeThrough(table, options).set('k', 'v'), InvalidOption)
    }
    for (const [source, options] of [[{}], [7], [null], [{ load: 7 }], [table, { key: 'user:{0}' }], [table, { strict: 1 }], [table, { tags: 'users' }], [table, { Ttl: 1 }]]) {
      assert.throws(() => cache.writeThrough(source, options), InvalidOption)
    }
    await assert.rejects(users.set(7, NaN), InvalidValue)
    await assert.rejects(cache.writeThrough(table).set('', 'v'), InvalidKey)
    assert.equal(table.rows.size, 0)
    const [begun, word] = stop(table)
    const running = users.set(7, 'Ada')
    await begun
    const waiting = users.set(7, 'Grace')
    const closed = assert.rejects(waiting, Closed)
    await cache.close()
    await closed
    word.resolve()
    await assert.rejects(running, Closed)
    assert.equal(table.rows.get(7), 'Ada', 'the source has it all the same')
    await assert.rejects(users.set(7, 'Ada'), Closed)
  })

  test(`what a source lacks, and a write inside of itself (${tier})`, async (t) => {
    const cache = open(t)
    const names = cache.writeThrough({ store: (name) => (name === 'again' ? names.set('again', 'v') : undefined) }, 60)
    await names.set('k', 'v')
    assert.equal(await cache.get('k'), 'v')
    for (const call of [names.get('k'), names.getMany(['k']), names.delete('k')]) await assert.rejects(call, Unsupported)
    await assert.rejects(names.set('again', 'v'), RecursiveFetch)
    const error = new Error('no')
    const lame = cache.writeThrough({ load(id) { if (id === 'bad') throw error; return id.toUpperCase() } })
    assert.deepEqual(await lame.getMany(['a', 'b']), new Map([['a', 'A'], ['b', 'B']]))
    await assert.rejects(lame.getMany(['a', 'bad']), (thrown) => {
      assert.ok(thrown instanceof PartialError)
      assert.deepEqual([thrown.values, thrown.failed], [new Map([['a', 'A']]), new Map([['bad', error]])])
      return true
    })
  })
}

test('writers in two processes leave the source right', async (t) => {
  const prefix = `through-${Math.random()}`
  const [one, two, table] = [shared(t, prefix), shared(t, prefix), new Table()]
  const [ones, twos] = [one, two].map((cache) => cache.writeThrough(table, { ttl: 60, key }))
  const [begun, word] = stop(table)
  const first = ones.set(7, 'first')
  await begun
  await twos.set(7, 'second')
  word.resolve()
  await first
  assert.deepEqual([await one.get('user:7'), await two.get('user:7')], [undefined, undefined])
  assert.deepEqual([await ones.get(7), await twos.get(7), table.rows.get(7)], ['first', 'first', 'first'])
  await twos.set(7, 'third')
  await until(async () => await one.get('user:7') === 'third')
})
