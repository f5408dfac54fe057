// Processes: when they stay, how they end.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { redisServer, scratch, script } from './support.mjs'

const folder = scratch()
const redis = await redisServer()
const names = new Map([['memory://', 'memory'], [redis.url, 'Redis'], ['redis://127.0.0.1:1', 'a Redis that is not there']])

/** Runs a script that uses a cache; fails when it does not end as expected. */
async function ends(source, { code = 0, stdout = '', url = 'memory://' } = {}) {
  const result = await script(folder, `
    import { CacheService, NotFound } from 'scrubjay'
    process.on('unhandledRejection', (error) => { console.log('unhandled', error); process.exit(99) })
    const cache = new CacheService(process.argv[2], 'process-' + process.pid, { jitter: 0 })
    ${source}
  `, url)
  assert.deepStrictEqual(
    { code: result.code, signal: result.signal, stdout: result.stdout, stderr: result.stderr, killed: result.killed },
    { code, signal: null, stdout, stderr: '', killed: false },
  )
}

for (const url of names.keys()) {
  describe(`over ${names.get(url)}`, () => {
    test('an open cache that was never used lets the process end', () => ends('', { url }))

    test('an open cache that was used lets the process end', () => ends(`
      await cache.set('k', 1)
      await cache.get('k')
      await cache.getOrFetch('l', 60, () => 1)
      console.log('done')
    `, { url, stdout: 'done\n' }))

    test('calls that nobody awaits are done before the process ends', () => ends(`
      cache.set('k', 7)
      cache.get('k').then((value) => console.log(value))
      cache.getOrFetch('l', 60, async () => 'l').then((value) => console.log(value))
    `, { url, stdout: '7\nl\n' }))

    test('process.exit with everything in flight', () => ends(`
      const never = new Promise(() => {})
      const begin = () => {
        for (let index = 0; index < 1000; index++) {
          cache.set('k' + index, index)
          cache.get('k' + index)
          cache.delete('k' + index)
          cache.getOrFetch('l' + index % 10, 60, () => never)
          cache.getOrFetchMany(['l1', 'l2', 'm' + index], 60, () => never)
        }
      }
      begin()
      setTimeout(() => { begin(); process.exit(7) }, 20)
    `, { url, code: 7 }))

    test('process.exit while it closes', () => ends(`
      await cache.set('k', 1)
      cache.getOrFetch('l', 60, () => new Promise(() => {}))
      cache.close()
      process.exit(7)
    `, { url, code: 7 }))

    test('an exception that nobody catches, with everything in flight', async () => {
      const result = await script(folder, `
        import { CacheService } from 'scrubjay'
        const cache = new CacheService(process.argv[2], 'process-test')
        for (let index = 0; index < 100; index++) cache.getOrFetch('k' + index % 10, 60, () => new Promise(() => {}))
        setTimeout(() => { throw new Error('of the program') }, 20)
      `, url)
      assert.equal(result.code, 1)
      assert.match(result.stderr, /Error: of the program/)
    })

    test('an exit handler may still use it', () => ends(`
      await cache.set('k', 1)
      process.on('exit', () => { console.log(cache.getSync('k'), cache.stats().entries) })
      process.on('exit', () => { cache.set('l', 2); cache.delete('k') })
    `, { url, stdout: '1 1\n' }))
  })
}

test('a caller that waits keeps the process, until the hard timeout of the fetch at most', () => ends(`
  const impatient = new CacheService('memory://', '', { fetchHardTimeout: 0.2 })
  impatient.getOrFetch('k', 60, () => new Promise(() => {}))
  impatient.getOrFetch('k', 60, () => 1).catch((error) => console.log(error.code))
`, { stdout: 'FetchTimeout\n' }))

test('a fetch that waits for nothing does not keep it', () => ends(`
  cache.getOrFetch('k', 60, () => new Promise(() => {}))
`))

test('after an abort nothing keeps it', () => ends(`
  const controller = new AbortController()
  cache.getOrFetch('k', 60, () => new Promise(() => {}))
  const calls = [
    cache.getOrFetch('k', 60, () => 1, { signal: controller.signal }),
    cache.getOrFetchMany(['k', 'l'], 60, () => ({ l: 1 }), { signal: controller.signal }),
  ]
  setTimeout(() => controller.abort(), 10)
  for (const { reason } of await Promise.allSettled(calls)) console.log(reason.name)
`, { stdout: 'AbortError\nAbortError\n' }))

test('no failure of a fetch is ever an unhandled rejection of ours', () => ends(`
  const failing = [
    () => { throw new Error('sync') }, async () => { throw new Error('async') }, async () => { throw new NotFound() }, () => NaN,
    () => { throw undefined },
  ]
  const caught = []
  for (const [index, fetch] of failing.entries()) {
    const controller = new AbortController()
    for (let caller = 0; caller < 5; caller++) {
      caught.push(cache.getOrFetch('k' + index, 60, fetch, { signal: controller.signal }).catch(() => {}))
      caught.push(cache.getOrFetchMany(['k' + index, 'l' + index], 60, fetch, { signal: controller.signal }).catch(() => {}))
    }
    const late = cache.getOrFetch('late' + index, 60, async () => { await new Promise((resolve) => setTimeout(resolve, 20)); return fetch() }, { signal: controller.signal })
    caught.push(late.catch(() => {}))
    controller.abort()
  }
  await Promise.all(caught)
  await new Promise((resolve) => setTimeout(resolve, 50))
  await cache.close()
  console.log('done')
`, { stdout: 'done\n' }))

test('a rejection of a call is the caller’s to handle', async () => {
  const result = await script(folder, `
    import { CacheService } from 'scrubjay'
    new CacheService().getOrFetch('k', 60, () => { throw new Error('not handled') })
  `)
  assert.equal(result.code, 1)
  assert.match(result.stderr, /not handled/)
})
