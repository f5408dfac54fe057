// Who drives the connection to Redis: the event loop itself, where it has libuv; nobody waits for one that is busy.

import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'

import { CacheService } from 'scrubjay'

import { PACKAGE, redisServer, run, scratch, until } from './support.mjs'

const folder = scratch()
const redis = await redisServer()
const others = ['20.0.0', '26.10.0'].map((version) => path.join(PACKAGE, '../target', `node-${version}`, 'node_modules/node/bin/node'))
const nodes = [process.execPath, ...others.filter((node) => existsSync(node))]
let prefixes = 0

/** A cache without a memory tier, so that every read goes to the server. */
function open(t, options = {}, url = redis.url) {
  prefixes += 1
  const cache = new CacheService(url, `drivers-${process.pid}-${prefixes}`, { jitter: 0, l2Timeout: 20, l1Bytes: 0, ...options })
  t.after(() => cache.close())
  return cache
}

const PRELUDE = `
  import { CacheService } from 'scrubjay'
  const open = () => new CacheService(process.argv[2], 'drivers-' + process.pid, { jitter: 0, l2Timeout: 20, l1Bytes: 0 })
`

const programs = {
  'one read in flight: the loop itself receives it': [`
    const cache = open()
    await cache.set('k', 'v')
    const before = cache.stats()
    for (let call = 0; call < 500; call++) if (await cache.get('k') !== 'v') console.log('wrong')
    const after = cache.stats()
    console.log(after.driven_by_caller - before.driven_by_caller > 400, after.driven_by_core - before.driven_by_core < 100)
  `, 'true true\n'],

  'a process that waits for nothing ends, and one that waits does not': [`
    const cache = open()
    await cache.set('k', 'v')
    setTimeout(() => cache.get('k').then((value) => console.log(value)), 150)
  `, 'v\n'],

  'no libuv: a thread of the core wakes the loop': [`
    // As other runtimes that load addons say what they are.
    Object.defineProperty(process, 'versions', { value: { ...process.versions, bun: '1.0.0' } })
    const { createRequire } = await import('node:module')
    const require = createRequire(import.meta.url)
    for (const file of Object.keys(require.cache)) delete require.cache[file]
    const cache = new (require('scrubjay').CacheService)(process.argv[2], 'drivers-' + process.pid, { l1Bytes: 0, l2Timeout: 20 })
    await cache.set('k', 'v')
    for (let call = 0; call < 100; call++) if (await cache.get('k') !== 'v') console.log('wrong')
    console.log(cache.stats().driven_by_caller, cache.stats().driven_by_core > 50)
  `, '0 true\n'],

  'a loop that does not come back holds no worker up': [`
    import { Worker, isMainThread, workerData } from 'node:worker_threads'
    if (isMainThread) {
      const cache = open()
      await cache.set('k', 'v')
      const done = new Int32Array(new SharedArrayBuffer(4))
      new Worker(new URL(import.meta.url), { argv: [process.argv[2]], workerData: done }).unref()
      const asked = cache.get('k')
      // This loop stands still until the worker has read its values.
      console.log(Atomics.wait(done, 0, 0, 60_000), await asked)
    } else {
      const cache = open()
      await cache.set('w', 'w')
      for (let call = 0; call < 200; call++) await cache.get('w')
      const { driven_by_caller } = cache.stats()
      Atomics.store(workerData, 0, driven_by_caller > 100 ? 1 : 2)
      Atomics.notify(workerData, 0)
    }
  `, /^(ok|not-equal) v\n$/],

  'workers that are terminated while answers come': [`
    import { Worker, isMainThread, parentPort } from 'node:worker_threads'
    if (isMainThread) {
      let ended = 0
      for (let round = 0; round < 20; round++) {
        const worker = new Worker(new URL(import.meta.url), { argv: [process.argv[2]] })
        await new Promise((resolve) => worker.once('message', resolve))
        await worker.terminate()
        ended += 1
      }
      console.log(ended)
    } else {
      const cache = open()
      await cache.set('k', Buffer.alloc(1 << 20))
      let asked = 0
      const again = () => { asked += 1; if (asked === 100) parentPort.postMessage('now'); cache.get('k').then(again, () => {}) }
      for (let caller = 0; caller < 16; caller++) again()
    }
  `, '20\n'],
}

for (const [index, node] of nodes.entries()) {
  describe(`on ${index === 0 ? `this Node.js, ${process.version}` : path.basename(path.resolve(node, '../../../..'))}`, () => {
    for (const [name, [program, wanted]] of Object.entries(programs)) {
      test(name, async () => {
        const file = path.join(folder, `${index}-${name.replaceAll(/\W/g, '-')}.mjs`)
        writeFileSync(file, PRELUDE + program)
        const { code, signal, stdout, stderr } = await run(node, [file, redis.url])
        assert.deepStrictEqual({ code, signal, stderr }, { code: 0, signal: null, stderr: '' })
        if (wanted instanceof RegExp) assert.match(stdout, wanted)
        else assert.equal(stdout, wanted)
      })
    }
  })
}

test('many in flight get their own values, raw and parsed', async (t) => {
  const cache = open(t)
  const values = new Map(Array.from({ length: 300 }, (_, index) => {
    const length = index % 50 === 0 ? 200_000 : index
    return [`k${index}`, index % 2 === 0 ? Buffer.alloc(length, index) : { index, text: 'é'.repeat(length) }]
  }))
  await Promise.all([...values].map(([key, value]) => cache.set(key, value)))
  await Promise.all(Array.from({ length: 64 }, async (_, caller) => {
    for (let call = 0; call < 50; call++) {
      const key = `k${(caller * 7 + call * 13) % 300}`
      assert.deepStrictEqual(await cache.get(key), values.get(key))
    }
  }))
  assert.ok(cache.stats().driven_by_caller > 0)
})

test('an outage and its end', async (t) => {
  const server = await redisServer()
  const cache = open(t, { l2Timeout: 1 }, server.url)
  await cache.set('k', 'v')
  assert.equal(await cache.get('k'), 'v')
  await server.stop()
  for (let call = 0; call < 10; call++) assert.equal(await cache.get('k'), undefined)
  assert.ok(cache.stats().l2_errors > 0)
  await server.start()
  await until(async () => { await cache.set('k', 'w'); return await cache.get('k') === 'w' }, 'it connects again')
  const before = cache.stats().driven_by_caller
  for (let call = 0; call < 50; call++) assert.equal(await cache.get('k'), 'w')
  assert.ok(cache.stats().driven_by_caller > before)
})

test('a server that says nothing is late, and the loop runs meanwhile', async (t) => {
  const server = await redisServer()
  const cache = open(t, { l2Timeout: 0.5 }, server.url)
  await cache.set('k', 'v')
  server.freeze()
  let turns = 0
  const timer = setInterval(() => { turns += 1 }, 1)
  const values = await Promise.all(Array.from({ length: 100 }, () => cache.get('k')))
  clearInterval(timer)
  server.thaw()
  assert.deepStrictEqual(new Set(values), new Set([undefined]))
  assert.ok(turns > 10, `${turns} turns`)
  await until(async () => await cache.get('k') === 'v', 'it answers again')
})

test('large values leave the loop its turns', async (t) => {
  const cache = open(t, { maxValue: 9 << 20 })
  const value = Buffer.alloc(8 << 20, 'scrubjay')
  await cache.set('k', value)
  // Turns of the loop while one value comes: those of an idle loop are few, as it sleeps in between.
  let turns = 0
  let running = true
  const turn = () => { turns += 1; if (running) setImmediate(turn) }
  turn()
  const found = await Promise.all(Array.from({ length: 4 }, () => cache.get('k')))
  running = false
  for (const one of found) assert.ok(one.equals(value))
  assert.ok(turns > 32, `${turns} turns`)
})
