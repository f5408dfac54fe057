// More than may be in flight to Redis is refused with Overloaded; what was let in gets its answer.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { CacheService, Overloaded } from 'scrubjay'

import { redisServer } from './support.mjs'

/** As many as may be in flight. */
const OPERATIONS = 10_000
const EIGHT_MIB = 8 << 20

const redis = await redisServer()

function open(t, options) {
  const cache = new CacheService(redis.url, `overload-${process.pid}-${t.name}`.replaceAll(' ', '-'), { l2Timeout: 60, ...options })
  t.after(() => cache.close())
  return cache
}

async function refused(cache) {
  const calls = {
    get: () => cache.get('absent'),
    get_many: () => cache.getMany(['kept', 'absent']),
    set: () => cache.set('kept', 2),
    set_many: () => cache.setMany({ kept: 2 }),
    delete: () => cache.delete('kept'),
    delete_many: () => cache.deleteMany(['kept']),
  }
  for (const [operation, call] of Object.entries(calls)) {
    await assert.rejects(call(), (error) => {
      assert.ok(error instanceof Overloaded)
      assert.deepStrictEqual([error.code, error.operation, error.retryable], ['Overloaded', operation, true])
      return true
    })
  }
  assert.equal(await cache.get('kept'), 1, 'nothing has changed')
}

test('more operations than may be in flight', async (t) => {
  const cache = open(t, { maxStaleness: 60, l1Bytes: 2 ** 30 })
  await cache.set('kept', 1)
  await redis.pause()
  t.after(() => redis.unpause())
  const first = cache.set('first', 1)
  const letIn = Array.from({ length: OPERATIONS - 1 }, (_, n) => cache.get(`k${n}`))
  await refused(cache)
  // A fetch goes on as if Redis could not be reached.
  assert.equal(await cache.getOrFetch('one', 60, () => 1), 1)
  assert.deepStrictEqual(await cache.getOrFetchMany(['two'], 60, () => ({ two: 2 })), new Map([['two', 2]]))
  await redis.unpause()
  assert.equal((await first).pending, false)
  assert.ok((await Promise.all(letIn)).every((value) => value === undefined))
  assert.equal((await cache.set('kept', 2)).pending, false)
})

test('more bytes than may be in flight', async (t) => {
  const cache = open(t, { maxStaleness: 60, l1Bytes: 2 ** 30 })
  await cache.set('kept', 1)
  await redis.pause()
  t.after(() => redis.unpause())
  const letIn = Array.from({ length: 8 }, (_, n) => cache.set(`k${n}`, Buffer.alloc(EIGHT_MIB)))
  await refused(cache)
  await redis.unpause()
  assert.ok((await Promise.all(letIn)).every(({ pending }) => !pending))
})

test('more than one reply may have', async (t) => {
  const cache = open(t, { l1Bytes: 0 })
  const keys = Array.from({ length: 9 }, (_, n) => `k${n}`)
  for (const key of keys) await cache.set(key, Buffer.alloc(EIGHT_MIB))
  await assert.rejects(cache.getMany(keys), { code: 'Overloaded', operation: 'get_many', message: /64 MiB/ })
  assert.equal((await cache.getMany(keys.slice(2))).size, 7)
})
