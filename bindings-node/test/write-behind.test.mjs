// Write-behind: values in the cache at once, in a real SQLite a little later.

import assert from 'node:assert/strict'
import path from 'node:path'
import { describe, test } from 'node:test'

import { CacheService, Closed, InvalidKey, InvalidOption, InvalidValue, NotFound, Overloaded, Rejected, WriteBehind } from 'scrubjay'

import { database } from './sqlite.mjs'
import { deferred, memory, outside, redisServer, scratch, script, until } from './support.mjs'

const redis = await redisServer()
const folder = scratch()

/** Writes of a write-behind in memory, pulled until there are so many: an acknowledged one may come a moment later. */
async function pull(behind, count) {
  const writes = []
  while (writes.length < count) {
    const batch = await behind.nextBatch({ maxItems: count - writes.length, wait: 20 })
    assert.ok(batch.length > 0, 'they do not come')
    writes.push(...batch)
  }
  return writes
}

const inMemory = (t, options = {}) => memory(t).writeBehind('stock', { ack: 'memory', retryBase: 0.001, ...options })

for (const ack of ['journal', 'memory', 'redis']) {
  test(`the cache has it at once and the source later: ${ack}`, async (t) => {
    const db = await database(t, outside())
    const cache = ack === 'redis' ? new CacheService(redis.url, 'node-behind') : memory(t)
    t.after(() => cache.close())
    const stock = cache.writeBehind('stock', db.write, { ack, ...(ack === 'journal' && { directory: outside() }) })
    assert.ok(stock instanceof WriteBehind)
    const receipt = await stock.set('stock:7', 41, 60)
    assert.equal(receipt.pending, false)
    await stock.set('stock:7', { left: 40 }, { ttl: 60, tags: ['stock'] })
    await stock.set('stock:8', 3)
    await stock.delete('stock:8')
    for (let n = 0; n < 3; n += 1) await stock.delta('sold:7', 2)
    assert.deepEqual(await cache.get('stock:7'), { left: 40 })
    assert.equal(await cache.get('stock:8'), undefined)
    assert.equal((await stock.flush({ timeout: 20 })).left, 0)
    await stock.set('late', 1)
    assert.deepEqual({ ...await stock.close({ timeout: 20 }), written: 0 }, { written: 0, left: 0, dead: 0 })
    assert.deepEqual(await db.rows(), { 'stock:7': { left: 40 }, late: 1 })
    assert.equal(await db.changeOf('sold:7'), 6)
    assert.equal(stock.stats().accepted, 8)
    await assert.rejects(stock.set('stock:7', 1), Closed)
    assert.deepEqual(await stock.close(), { written: 0, left: 0, dead: 0 })
  })
}

test('what a writer gets', async (t) => {
  const behind = inMemory(t)
  await behind.set('a', { n: [1, 2.5, null, 12345678901234567890n] })
  await behind.set(Buffer.from([0xff]), Buffer.from('bytes'))
  await behind.delete('c')
  const [a, bytes, c] = await pull(behind, 3)
  assert.deepEqual(a.value, { n: [1, 2.5, null, 12345678901234567890n] })
  assert.deepEqual([a.key, a.kind, a.attempt, a.error], ['a', 'set', 1, ''])
  assert.deepEqual([bytes.keyBytes, bytes.value], [Buffer.from([0xff]), Buffer.from('bytes')])
  assert.deepEqual([c.kind, c.value], ['delete', undefined])
  assert.ok(a.process === c.process && a.sequence < c.sequence && a.enqueuedMs > 1.7e12)
  assert.equal(a.id, `${a.process}-${a.sequence}`)
  assert.deepEqual(await behind.nextBatch({ wait: 0.001 }), [])
  assert.equal(behind.ack([a, bytes, c]), 3)
  assert.equal(behind.ack(a), 0)
})

test('pulling by hand, and dead letters', async (t) => {
  const behind = inMemory(t)
  await behind.set('a', 1)
  await behind.set('b', 2)
  const [a, b] = await pull(behind, 2)
  assert.equal(behind.nack(a, new Error('no such row'), { permanent: true }), 1)
  behind.giveBack(b)
  const [again] = await pull(behind, 1)
  assert.deepEqual([again.key, again.attempt], ['b', 1])
  behind.ack(again)
  const [letter] = await behind.deadLetters()
  assert.deepEqual([letter.key, letter.error], ['a', 'Error: no such row'])
  assert.deepEqual(await behind.deadLetters({ after: letter }), [])
  assert.deepEqual([await behind.replay([]), await behind.drop([])], [0, 0])
  assert.equal(await behind.replay(letter), 1)
  behind.nack(await pull(behind, 1), 'still not', { permanent: true })
  assert.equal((await behind.deadLetters({ limit: 5 }))[0].error, 'still not')
  assert.equal(await behind.drop(), 1)
  assert.equal(behind.stats().dead, 0)
})

test('iteration ends with the close', async (t) => {
  const behind = inMemory(t)
  const seen = []
  const reading = (async () => {
    for await (const writes of behind) {
      seen.push(...writes.map(({ key }) => key))
      behind.ack(writes)
    }
  })()
  for (const key of ['a', 'b', 'c']) await behind.set(key, 1)
  assert.equal((await behind.close({ timeout: 20 })).left, 0)
  await reading
  assert.deepEqual(seen, ['a', 'b', 'c'])
  await assert.rejects(behind.nextBatch(), Closed)
})

describe('a writer', () => {
  test('that fails is asked again', async (t) => {
    const db = await database(t, outside())
    const behind = inMemory(t)
    const failures = [new Error('the database is gone'), Object.create(null)]
    const working = behind.run(async (writes) => {
      if (failures.length > 0) throw failures.pop()
      await db.write(writes)
    }, { linger: 0.001 })
    await behind.set('a', 1)
    await behind.set('b', 2)
    assert.equal((await behind.flush({ timeout: 20 })).left, 0)
    assert.deepEqual(await db.rows(), { a: 1, b: 2 })
    assert.ok(behind.stats().retried >= 2)
    await behind.close()
    await working
  })

  for (const how of ['throws', 'returns']) {
    test(`that rejects some: ${how}`, async (t) => {
      const db = await database(t, outside())
      const behind = inMemory(t)
      for (const [key, value] of Object.entries({ a: 1, b: 'wrong', c: 3, d: 'wrong' })) await behind.set(key, value)
      const working = behind.run(async (writes) => {
        const wrong = writes.filter(({ value }) => value === 'wrong')
        await db.write(writes.filter(({ value }) => value !== 'wrong'))
        const rejected = new Rejected(wrong, 'no number', { permanent: true })
        if (how === 'throws') throw rejected
        return [rejected]
      })
      assert.equal((await behind.flush({ timeout: 20 })).left, 0)
      assert.deepEqual(await db.rows(), { a: 1, c: 3 })
      assert.deepEqual((await behind.deadLetters()).map(({ key, error }) => [key, error]), [['b', 'no number'], ['d', 'no number']])
      await behind.close()
      await working
    })
  }

  test('must not return what is no rejection', async (t) => {
    const behind = memory(t).writeBehind('stock', async (writes) => writes, { ack: 'memory', maxAttempts: 1 })
    await behind.set('a', 1)
    await until(() => behind.stats().dead === 1, 'it is dead')
    assert.match((await behind.deadLetters())[0].error, /writer must return nothing or an array of Rejected/)
  })

  test('that is aborted while it waits loses nothing', async (t) => {
    const behind = inMemory(t)
    for (let n = 0; n < 50; n += 1) {
      const controller = new AbortController()
      const waiting = behind.nextBatch({ signal: controller.signal })
      if (n % 2 === 0) controller.abort()
      const setting = behind.set(`k${n}`, n)
      if (n % 2 === 1) {
        await setting
        controller.abort()
      }
      const batch = await waiting.catch((error) => {
        assert.equal(error.name, 'AbortError')
        return undefined
      })
      await setting
      for (const write of batch ?? await pull(behind, 1)) {
        assert.deepEqual([write.key, write.attempt], [`k${n}`, 1])
        behind.ack(write)
      }
    }
    const controller = new AbortController()
    const working = behind.run(() => {}, { signal: controller.signal })
    controller.abort()
    await assert.rejects(working, { name: 'AbortError' })
  })
})

test('a full one has its caller write', async (t) => {
  const db = await database(t, outside())
  const cache = memory(t)
  const [entered, gate] = [deferred(), deferred()]
  const stock = cache.writeBehind('stock', async (writes) => {
    if (writes[0].key === 'old') {
      entered.resolve()
      await gate.promise
    }
    if (writes[0].value === 'wrong') return [new Rejected(writes, 'no')]
    if (writes[0].value === 'throws') throw new RangeError('no')
    return db.write(writes)
  }, { ack: 'memory', onFull: 'write_through', maxAge: 0.001 })
  assert.ok(await stock.set('old', 0))
  await entered.promise
  await until(() => stock.stats().oldestAgeMs > 1, 'it is too old')
  assert.equal(await stock.set('k', 1, 60), undefined)
  assert.deepEqual(await db.rows(), { k: 1 })
  await until(async () => await cache.get('k') === 1, 'the cache has it')
  await assert.rejects(stock.set('k', 'wrong'), Rejected)
  await assert.rejects(stock.set('k', 'throws'), RangeError)
  await stock.delete('k')
  await stock.delta('n', 2)
  assert.deepEqual([await db.rows(), await db.changeOf('n')], [{}, 2])
  gate.resolve()
  assert.equal((await stock.close({ timeout: 20 })).left, 0)
  assert.deepEqual(await db.rows(), { old: 0 })
})

test('too much', async (t) => {
  const cache = memory(t)
  const rejecting = cache.writeBehind('stock', { ack: 'memory', onFull: 'reject', maxBytes: 4096 })
  await assert.rejects(rejecting.set('k', 'x'.repeat(5000)), InvalidValue)
  await rejecting.set('k', 'x'.repeat(3000))
  await assert.rejects(rejecting.set('l', 'x'.repeat(3000)), Overloaded)
  const blocking = cache.writeBehind('other', { ack: 'memory', maxBytes: 4096, blockFor: 0.01 })
  await blocking.set('k', 'x'.repeat(3000))
  await assert.rejects(blocking.set('l', 'x'.repeat(3000)), Overloaded)
  assert.equal(blocking.stats().rejected, 1)
})

test('a pending deletion is not found', async (t) => {
  const cache = memory(t)
  const behind = cache.writeBehind('stock', { ack: 'memory' })
  await behind.delete('k')
  await assert.rejects(cache.getOrFetch('k', 60, () => 'old'), NotFound)
  behind.ack(await pull(behind, 1))
  assert.equal(await cache.getOrFetch('k', 60, () => 'new'), 'new')
})

test('what is wrong is named', async (t) => {
  const cache = memory(t)
  for (const [args, message] of [
    [['stock'], /directory is required/],
    [['stock', { ack: 'disk' }], /ack must be/],
    [['stock', { ack: 'redis' }], /needs a cache whose url names a Redis/],
    [['stock', { ack: 'memory', maxBytes: 1 }], /max_bytes must be 4096 to/],
    [['stock', { ack: 'memory', visibility: NaN }], /visibility must be a number of seconds/],
    [['stock', { ack: 'memory', speed: 1 }], /"speed" is not an option/],
    [['stock', 7, { ack: 'memory' }], /writer must be a function, is a number/],
    [['stock', { ack: 'memory', onFull: 'write_through' }], /needs the writer/],
    [['a b', { ack: 'memory' }], /name must be/],
  ]) {
    assert.throws(() => cache.writeBehind(...args), (error) => error instanceof InvalidOption && message.test(error.message))
  }
  const behind = cache.writeBehind('stock', { ack: 'memory' })
  await assert.rejects(behind.set('', 1), InvalidKey)
  await assert.rejects(behind.set('k', NaN), InvalidValue)
  await assert.rejects(behind.nextBatch({ maxItems: 0 }), InvalidOption)
  await assert.rejects(behind.nextBatch({ speed: 1 }), InvalidOption)
  await assert.rejects(behind.flush({ timeout: -1 }), InvalidOption)
  await assert.rejects(behind.run(), InvalidOption)
})

const STUCK = `
  import { CacheService } from 'scrubjay'
  const stock = new CacheService().writeBehind('stock', () => new Promise(() => {}), { directory: process.argv[2] })
  for (let n = 0; n < 50; n += 1) await stock.set('k' + n, n)
  console.log('acknowledged')
`

for (const [name, ending] of [
  ['that ends by itself', ''],
  ['that exits', 'process.exit(0)'],
  ['that is killed', 'process.kill(process.pid, "SIGKILL"); await new Promise(() => {})'],
]) {
  test(`of a program ${name} nothing is lost`, async (t) => {
    const db = await database(t, outside())
    const directory = path.join(outside(), 'journals')
    const ended = await script(folder, STUCK + ending, directory)
    assert.deepEqual([ended.stdout, ended.stderr, ended.killed], ['acknowledged\n', '', false])
    const stock = memory(t).writeBehind('stock', { directory })
    const working = stock.run(db.write)
    await until(async () => Object.keys(await db.rows()).length === 50, 'all are written')
    assert.equal(stock.stats().adopted, 50)
    await stock.close()
    await working
  })
}

test('who pulls keeps the process alive until the close', async () => {
  const { stdout, stderr } = await script(folder, `
    import { CacheService } from 'scrubjay'
    const stock = new CacheService().writeBehind('stock', { ack: 'memory' })
    setTimeout(async () => {
      await stock.set('k', 1)
      await stock.close()
    }, 50)
    for await (const writes of stock) {
      console.log(writes[0].key)
      stock.ack(writes)
    }
    console.log('ends')
  `)
  assert.deepEqual([stdout, stderr], ['k\nends\n', ''])
})
