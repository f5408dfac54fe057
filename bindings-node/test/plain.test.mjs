// Programs that know nothing of Scrubjay: plain entries, and channels whose messages are keys.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { CacheService, InvalidOption, InvalidValue } from 'scrubjay'

import { redisServer, until } from './support.mjs'

const HOUR = 3600
const redis = await redisServer()

function open(t, prefix, options) {
  const cache = new CacheService(redis.url, prefix, { jitter: 0, l2Timeout: 5, ...options })
  t.after(() => cache.close())
  return cache
}

test('plain entries are bare JSON', async (t) => {
  const cache = open(t, 'shop', { format: 'plain' })
  await cache.set('user:1', { name: 'Ada' })
  assert.equal(await redis.cli('GET', 'shop:user:1'), '{"name":"Ada"}')
  await redis.cli('SET', 'shop:user:2', '{"name": "Bob"}')
  assert.deepStrictEqual(await cache.get('user:2'), { name: 'Bob' })
  assert.deepStrictEqual(await cache.getOrFetch('user:3', 60, () => [1, null]), [1, null])
  await until(async () => await redis.cli('GET', 'shop:user:3') === '[1,null]', 'it is stored')
  assert.deepStrictEqual([...(await cache.getMany(['user:1', 'user:4'])).keys()], ['user:1'])
  assert.equal(cache.effectiveStalenessBound(), Infinity)
  await assert.rejects(cache.set('k', Buffer.from('bytes')), InvalidValue)
  await assert.rejects(cache.set('k', 1, { tags: ['t'] }), InvalidOption)
  assert.throws(() => new CacheService('memory://', '', { format: 'plain' }), InvalidOption)
  await cache.clear()
  assert.equal(await redis.cli('KEYS', 'shop:*'), '')
})

test('memory follows tracked keys that others write', async (t) => {
  const cache = open(t, 'tracked', { format: 'plain', tracking: true, maxStaleness: HOUR })
  await cache.get('nothing')
  await until(() => cache.stats().push_sessions === 1, 'the first session')
  for (let n = 0; n < 20; n += 1) {
    await redis.cli('SET', 'tracked:k', String(n))
    await until(async () => await cache.get('k') === n, 'the new value is seen')
    await until(async () => await cache.get('k') === n && cache.getSync('k') === n, 'memory has it')
  }
  await redis.cli('DEL', 'tracked:k')
  await until(async () => await cache.get('k') === undefined, 'it is gone')
})

test('keys on a channel are invalidated, and those of caches are not taken for them', async (t) => {
  const channel = 'cache:invalidate'
  const both = { maxStaleness: HOUR, subscribeInvalidations: channel, publishInvalidations: channel }
  const cache = open(t, 'told', both)
  const other = open(t, 'told', both)
  await cache.set('user:1', 'old')
  assert.equal(await other.get('user:1'), 'old')
  const tell = async (key) => Number(await redis.cli('PUBLISH', channel, key))
  // How many heard it says who listens.
  await until(async () => await tell('nothing') === 2, 'both listen')
  assert.equal(await tell('user:1'), 2)
  for (const one of [cache, other]) await until(async () => await one.get('user:1') === undefined, 'it is gone')
  await cache.set('user:1', 'new')
  const heard = other.stats().invalidations
  assert.equal(await tell('last'), 2)
  await until(() => other.stats().invalidations === heard + 1, 'the last one has come')
  assert.equal(await other.get('user:1'), 'new')
})
