// Updates: nothing is stored under a key while its writer is at work. And what is known of a key.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

import { CacheService, Closed, InvalidKey, InvalidOption, Unavailable } from 'scrubjay'

import { deferred, memory, scratch, redisServer, until } from './support.mjs'

const redis = await redisServer()

const TIERS = {
  memory: (t) => memory(t),
  redis: (t) => {
    const cache = new CacheService(redis.url, `update-${Math.random()}`, { jitter: 0, l2Timeout: 2 })
    t.after(() => cache.close())
    return cache
  },
}

/** Whether a fetch of the key is run: it is not stored. */
async function loads(cache, key = 'k') {
  let ran = false
  await cache.getOrFetch(key, 60, () => { ran = true; return 'loaded' })
  return ran
}

async function isFree(cache, key = 'k') {
  assert.equal((await cache.explain(key)).hold, null)
  await until(async () => !(await loads(cache, key)))
}

for (const [tier, open] of Object.entries(TIERS)) {
  test(`nothing is stored while it is written (${tier})`, async (t) => {
    const cache = open(t)
    await cache.set('k', 'old')
    const { value, receipt } = await cache.update(['k', Buffer.from('l')], async () => {
      assert.equal(await cache.get('k'), undefined)
      assert.ok(await loads(cache))
      assert.ok(await loads(cache))
      await cache.set('k', 'which is newer?')
      assert.equal(await cache.get('k'), undefined)
      const { reason, hold } = await cache.explain('k')
      assert.deepEqual([reason, hold.writers], ['held', 1])
      return 3
    })
    assert.deepEqual([value, receipt.pending], [3, false])
    assert.equal(await cache.get('k'), undefined)
    await isFree(cache)
    assert.equal((await cache.update(new Set(['k']), () => 7)).value, 7)
  })

  test(`the error of a write is its own (${tier})`, async (t) => {
    const cache = open(t)
    await cache.set('k', 'old')
    const error = new Error('rolled back')
    await assert.rejects(cache.update(['k'], async () => { throw error }), (thrown) => thrown === error)
    assert.equal(await cache.get('k'), undefined)
    await assert.rejects(cache.update(['k'], () => { throw error }), (thrown) => thrown === error)
    await isFree(cache)
  })

  test(`a key is free when its last writer is done (${tier})`, async (t) => {
    const cache = open(t)
    const [one, two, begun] = [deferred(), deferred(), deferred()]
    const first = cache.update(['k'], () => one.promise)
    const second = cache.update(['k'], () => { begun.resolve(); return two.promise })
    await begun.promise
    await until(async () => (await cache.explain('k')).hold.writers === 2)
    one.resolve()
    await first
    assert.equal((await cache.explain('k')).hold.writers, 1)
    assert.ok(await loads(cache))
    assert.ok(await loads(cache))
    two.resolve()
    await second
    await isFree(cache)
  })

  test(`a signal before the write stops it, and one in it is told (${tier})`, async (t) => {
    const cache = open(t)
    const reason = new Error('no more')
    const notRun = () => assert.fail('it must not run')
    await assert.rejects(cache.update(['k'], notRun, { signal: AbortSignal.abort(reason) }), (thrown) => thrown === reason)
    const control = new AbortController()
    let ended = false
    const update = cache.update(['k'], async ({ signal }) => {
      control.abort(reason)
      assert.equal(signal.aborted, true)
      await loads(cache)
      ended = true
    }, { signal: control.signal })
    await update
    assert.ok(ended, 'its end is waited for')
    await isFree(cache)
    if (tier === 'redis') {
      // While the intent is on its way.
      const early = new AbortController()
      const stopped = cache.update(['k'], notRun, { signal: early.signal })
      early.abort(reason)
      await assert.rejects(stopped, (thrown) => thrown === reason)
      await until(async () => (await cache.explain('k')).hold === null)
      await isFree(cache)
    }
  })

  test(`what is known of a key (${tier})`, async (t) => {
    const cache = open(t)
    const absent = await cache.explain('k')
    assert.deepEqual([absent.tier, absent.reason, absent.ttl, absent.reachable], [null, 'absent', null, true])
    await cache.set('k', 'twelve', 60)
    const found = await cache.explain('k')
    assert.deepEqual([found.tier, found.reason, found.stale, found.codec, found.bytes, found.tags],
      ['l1', 'fresh', false, 'json', 8, []])
    assert.ok(found.ttl > 40 && found.ttl <= 60 && found.age < 20)
    const { here } = await cache.getOrFetch('l', 60, async () => (await cache.explain('l')).lease)
    assert.equal(here, true)
  })
}

test('what cannot be is refused before the write', async (t) => {
  const cache = memory(t)
  const write = () => assert.fail('it must not run')
  for (const [options, message] of [
    [{ intentTtl: 0.09 }, /intent_ttl must be 0\.1 to 3600 seconds, is 0\.09/],
    [{ intentTtl: -1 }, /intentTtl must be a number of seconds of 0 or more, is -1/],
    [{ intentTtl: '1' }, /intentTtl must be a number of seconds of 0 or more, is a? ?string/],
    [{ hold: 3601 }, /hold must be 0 to 3600 seconds, is 3601/],
    [{ hold: NaN }, /hold must be a number of seconds/],
    [{ strict: 1 }, /strict must be true or false, is a number/],
    [{ intent: 1 }, /"intent" is not an option/],
    [7, /options must be an object, are a number/],
  ]) {
    await assert.rejects(cache.update(['k'], write, options), (error) => {
      assert.ok(error instanceof InvalidOption, error)
      assert.equal(error.operation, 'update')
      assert.match(error.message, message)
      return true
    })
  }
  await assert.rejects(cache.update('k', write), InvalidOption)
  await assert.rejects(cache.update(['k', ''], write), InvalidKey)
  await assert.rejects(cache.update(['k'], 7), /write must be a function, is a number/)
  await assert.rejects(cache.explain(''), InvalidKey)
  await isFree(cache)
  await cache.close()
  await assert.rejects(cache.update(['k'], write), Closed)
  await assert.rejects(cache.explain('k'), Closed)
})

test('a server that is away stops a strict update only', async (t) => {
  const cache = new CacheService('redis://127.0.0.1:1')
  t.after(() => cache.close())
  await assert.rejects(cache.update(['k'], () => assert.fail('it must not run'), { strict: true }), (error) => {
    assert.ok(error instanceof Unavailable)
    assert.equal(error.operation, 'update')
    return true
  })
  const { value, receipt } = await cache.update(['k'], () => 7)
  assert.deepEqual([value, receipt.pending], [7, true])
  assert.equal((await cache.explain('k')).reason, 'pending')
  assert.equal((await cache.explain('elsewhere')).reachable, false)
})

test('a writer that is killed leaves a hold that ends', async (t) => {
  const cache = new CacheService(redis.url, 'killed', { maxStaleness: 0, l2Timeout: 2 })
  t.after(() => cache.close())
  await cache.set('k', 'old')
  const file = path.join(scratch(), 'killed.mjs')
  writeFileSync(file, `
    import { CacheService } from 'scrubjay'
    const cache = new CacheService(process.argv[2], 'killed')
    await cache.update(['k'], () => {
      console.log('written')
      return new Promise(() => setTimeout(() => {}, 60_000))
    }, { intentTtl: 0.5 })
  `)
  const child = spawn(process.execPath, [file, redis.url], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(await cache.get('k'), undefined)
  assert.ok(await loads(cache))
  await until(async () => !(await loads(cache)))
})

for (const [tier, open] of Object.entries(TIERS)) {
  test(`nothing with the tags of a write is stored or read meanwhile (${tier})`, async (t) => {
    const cache = open(t)
    const load = (value) => cache.getOrFetch('k', { ttl: 60, tags: ['users', 'all'] }, () => value)
    await load('old')
    await cache.set('free', 'as before', { tags: ['all'] })
    const { value, receipt } = await cache.update([], async () => {
      assert.equal(await cache.get('k'), undefined)
      assert.deepEqual([await load('old too'), await load('old again')], ['old too', 'old again'])
      await cache.set('k', 'which is newer?', { tags: ['users'] })
      assert.deepEqual([await cache.get('k'), await cache.get('free')], [undefined, 'as before'])
      return 3
    }, { tags: new Set(['users']) })
    assert.deepEqual([value, receipt.pending, await cache.get('k')], [3, false, undefined])
    await until(async () => await load('new') && await cache.get('k') === 'new')
    await assert.rejects(cache.update([], () => { throw new Error('rolled back') }, { tags: ['users'] }), /rolled back/)
    assert.equal(await cache.get('k'), undefined)
    for (const tags of ['users', [''], [7]]) await assert.rejects(cache.update([], () => 1, { tags }), InvalidOption)
  })
}
