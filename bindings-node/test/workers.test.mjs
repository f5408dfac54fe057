// Worker threads: each is an environment of its own, that may end at any moment.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { SCALE, redisServer, scratch, script } from './support.mjs'

const folder = scratch()
const redis = await redisServer()
const COUNT = Math.max(200, Math.round(200 * SCALE))

/** A program that starts workers; each runs `work`, says that it is ready, and may be terminated then. */
function program(work) {
  return `
    import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'

    if (isMainThread) {
      const [url, count] = [process.argv[2], Number(process.argv[3])]
      let ended = 0
      const one = (index) => new Promise((resolve, reject) => {
        const worker = new Worker(new URL(import.meta.url), { workerData: { url, index } })
        worker.on('error', reject)
        worker.on('message', () => { if (index % 2 === 1) worker.terminate() })
        worker.on('exit', () => { ended += 1; resolve() })
      })
      for (let index = 0; index < count; index += 10) {
        await Promise.all(Array.from({ length: 10 }, (_, offset) => one(index + offset)))
      }
      console.log(ended)
    } else {
      const { CacheService } = await import('scrubjay')
      const cache = new CacheService(workerData.url, 'workers')
      const ready = () => parentPort.postMessage('ready')
      ${work}
    }
  `
}

for (const url of ['memory://', redis.url]) {
  test(`${COUNT} workers, half of them terminated in the middle of fetches, over ${url}`, async () => {
    const { code, signal, stdout, stderr } = await script(folder, program(`
      const never = new Promise(() => {})
      const shared = 'k' + workerData.index % 3
      const controller = new AbortController()
      const { signal } = controller
      for (let call = 0; call < 20; call++) {
        cache.getOrFetch('mine', 60, () => never, { signal }).catch(() => {})
        cache.getOrFetch(shared, 60, async () => { await new Promise((resolve) => setTimeout(resolve, 5)); throw new Error('down') }).catch(() => {})
        cache.getOrFetchMany(['mine', shared, 'many'], 60, () => never, { signal }).catch(() => {})
        cache.set('s' + call, call)
        cache.get('s' + call)
      }
      ready()
      // Those that are not terminated end by themselves.
      setTimeout(() => controller.abort(), 20)
    `), url, `${COUNT}`)
    assert.deepStrictEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: `${COUNT}\n`, stderr: '' })
  })
}

test('a worker that never used it, and one that only loaded it', async () => {
  const { code, stdout, stderr } = await script(folder, program('if (workerData.index % 3 === 0) cache.close()\nready()'), 'memory://', '20')
  assert.deepStrictEqual({ code, stdout, stderr }, { code: 0, stdout: '20\n', stderr: '' })
})

test('workers do not end the caches of others', async () => {
  const { code, stdout, stderr } = await script(folder, `
    import { Worker, isMainThread } from 'node:worker_threads'
    import { CacheService } from 'scrubjay'

    const cache = new CacheService(process.argv[2], 'main')
    await cache.set('k', isMainThread ? 1 : 2)
    if (isMainThread) {
      let release
      const fetch = () => new Promise((resolve) => { release = resolve })
      const leader = cache.getOrFetch('l', 60, fetch)
      const waiter = cache.getOrFetch('l', 60, fetch)
      for (let round = 0; round < 5; round++) {
        await new Promise((resolve) => new Worker(new URL(import.meta.url), { argv: [process.argv[2]] }).on('exit', resolve))
      }
      release('shared')
      console.log(await leader, await waiter, await cache.get('k'), (await cache.set('m', 1)).pending)
    } else {
      process.exit()
    }
  `, 'memory://')
  assert.deepStrictEqual({ code, stdout, stderr }, { code: 0, stdout: 'shared shared 1 false\n', stderr: '' })
})

test('memory of ended workers is given back', async () => {
  const { code, stdout } = await script(folder, `
    import { Worker, isMainThread } from 'node:worker_threads'
    if (isMainThread) {
      const rss = async (count) => {
        for (let index = 0; index < count; index++) {
          await new Promise((resolve) => new Worker(new URL(import.meta.url)).on('exit', resolve))
        }
        return process.memoryUsage.rss() / 2 ** 20
      }
      await rss(10)
      const before = await rss(5)
      const after = await rss(40)
      console.log(Math.round(after - before))
    } else {
      const { CacheService } = await import('scrubjay')
      const cache = new CacheService()
      for (let index = 0; index < 100; index++) await cache.set('k' + index, Buffer.alloc(100_000))
    }
  `)
  assert.equal(code, 0)
  // Each worker had 10 MB in its cache: 400 MB if it stayed.
  assert.ok(Number(stdout) < 100, `${stdout} MiB more`)
})
