// Reads that find the write of a receipt, though it was made in another process.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { CacheService, Closed, InvalidKey, InvalidOption } from 'scrubjay'

import { memory, redisServer } from './support.mjs'

const redis = await redisServer()
await redis.cli('acl', 'setuser', 'deaf', 'on', 'nopass', '~*', '&*', '+@all', '-subscribe', '-ssubscribe')

test('who has the token reads its own write', async (t) => {
  // The server tells this one nothing, and it believes what it has for an hour.
  const reader = new CacheService(redis.url, 'observe', { maxStaleness: 3600, username: 'deaf', password: 'any', l2Timeout: 5 })
  const writer = new CacheService(redis.url, 'observe', { l2Timeout: 5 })
  t.after(() => Promise.all([reader.close(), writer.close()]))
  let n = 0
  for (const keys of ['k', Buffer.from('k'), ['user:7', 'k'], new Set(['k']), [Buffer.from('k')]]) {
    n += 1
    await writer.set('k', { n, is: 'old' })
    reader.observe((await writer.set('k', { n, is: 'old' })).token, 'k')
    assert.deepEqual(await reader.get('k'), { n, is: 'old' })
    const { token } = await writer.set('k', { n, is: 'new' })
    assert.deepEqual(await reader.get('k'), { n, is: 'old' })
    assert.deepEqual(reader.getSync('k'), { n, is: 'old' })
    assert.equal(reader.observe(token, keys), undefined)
    assert.equal(reader.getSync('k'), undefined)
    assert.deepEqual(await reader.get('k'), { n, is: 'new' })
  }
})

test('what is wrong is refused', async (t) => {
  const cache = memory(t)
  const { token } = await cache.set('k', 1)
  for (const wrong of ['', '00', '0'.repeat(33), 'g'.repeat(32), '\ud800', undefined, null, 7, Buffer.from(token)]) {
    assert.throws(() => cache.observe(wrong, 'k'), (error) => {
      assert(error instanceof InvalidOption)
      assert.match(error.message, /token must be .*32 hexadecimal digits/)
      assert.equal(error.operation, 'observe')
      return true
    })
  }
  for (const noKey of ['', [''], [7]]) assert.throws(() => cache.observe(token, noKey), InvalidKey)
  for (const noKeys of [7, null, undefined]) assert.throws(() => cache.observe(token, noKeys), InvalidOption)
  cache.observe(token, [])
  assert.equal(await cache.get('k'), 1)
  await cache.close()
  assert.throws(() => cache.observe(token, 'k'), Closed)
})
