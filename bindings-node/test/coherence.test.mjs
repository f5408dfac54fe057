// Memory follows the writes of other processes, as the server tells of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { CacheService } from 'scrubjay'

import { redisServer, until } from './support.mjs'

const HOUR = 3600
const redis = await redisServer()

/** A cache that the server tells of writes. */
async function listening(t, options) {
  const cache = new CacheService(redis.url, `coherence-${process.pid}`, { jitter: 0, l2Timeout: 5, ...options })
  t.after(() => cache.close())
  await cache.set('warm', 1)
  await until(() => cache.stats().push_sessions === 1, 'the first session')
  return cache
}

test('copies end at once when another cache writes, though nothing would be asked for an hour', async (t) => {
  const mine = await listening(t, { maxStaleness: HOUR })
  const theirs = await listening(t, { maxStaleness: HOUR })
  for (let n = 0; n < 50; n += 1) {
    await theirs.set('k', { n })
    await until(async () => (await mine.get('k'))?.n === n, 'the new value is seen')
    assert.deepStrictEqual(mine.getSync('k'), { n })
    await theirs.delete('k')
    await until(async () => await mine.get('k') === undefined, 'it is gone')
  }
  assert(mine.stats().hits_l1 >= 50)
})

test('a silent server is not believed for longer than the bound', async (t) => {
  const bound = 400
  const cache = await listening(t, { maxStaleness: bound / 1000, l2Timeout: 0.1 })
  await cache.set('k', 1)
  const begun = performance.now()
  while (performance.now() < begun + 2 * bound) assert.equal(await cache.get('k'), 1)
  redis.freeze()
  try {
    const silent = performance.now()
    let last = silent
    while (performance.now() < silent + 2 * bound) {
      const asked = performance.now()
      if (cache.getSync('k') === 1) last = asked
    }
    // Its clock moves every 10 ms, on a thread that a busy machine may keep waiting.
    assert(last - silent <= bound + 100, `a hit ${last - silent} ms after the last answer`)
  } finally {
    redis.thaw()
  }
})

test('the bound is told', async (t) => {
  assert.equal(new CacheService().effectiveStalenessBound(), 0)
  for (const [options, bound] of [[{}, 1], [{ maxStaleness: 0.5 }, 0.5], [{ l1Bytes: 0 }, 0]]) {
    const cache = await listening(t, options)
    assert.equal(cache.effectiveStalenessBound(), bound)
  }
  await redis.cli('ACL', 'SETUSER', 'plain', 'on', 'nopass', '~*', '&*', '+@all', '-@scripting')
  const plain = new CacheService(redis.url, 'plain', { username: 'plain', password: 'any' })
  t.after(() => plain.close())
  await plain.set('k', 1)
  assert.equal(plain.effectiveStalenessBound(), Infinity)
})
