// A loop of hits that never ends its turn sees what other threads do. No compiler may have kept what it loaded: each
// loop runs until it is compiled by the last one of V8, on this Node.js and on the oldest and newest that can be had
// (scripts/nodes.mjs).

import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, test } from 'node:test'

import { PACKAGE, redisServer, run, scratch } from './support.mjs'

const folder = scratch()
const redis = await redisServer()
const others = ['20.0.0', '26.10.0'].map((version) => path.join(PACKAGE, '../target', `node-${version}`, 'node_modules/node/bin/node'))
const nodes = [process.execPath, ...others.filter((node) => existsSync(node))]

const PRELUDE = `
  import { Worker } from 'node:worker_threads'
  import { CacheService, MemoryCache } from 'scrubjay'
  // A loop that does not end has nobody else to end it when the test is gone.
  new Worker('setTimeout(() => process.kill(process.pid, "SIGKILL"), 90_000)', { eval: true }).unref()
  /** A loop of its own that runs until the hit gives undefined. */
  const spinning = (hit) => new Function('cache', 'key', 'let count = 0; while (' + hit + ' !== undefined) count += 1; return count')
  /** Runs the loop to its end again and again, soon compiled by the last compiler of V8, and tells whether it was. */
  async function ends(spin, put, cache) {
    let count = 0
    let compiled = 0
    // On a busy machine what ends a loop may have come before it began.
    for (let round = 0; round < 12 || (round < 1000 && count < 100_000); round++) {
      await put(round)
      if (round === 0) %PrepareFunctionForOptimization(spin)
      if (round === 3) %OptimizeFunctionOnNextCall(spin)
      count += spin(cache, 'k')
      if (%ActiveTierIsTurbofan(spin)) compiled += 1
    }
    return count >= 100_000 && compiled > 2 ? 'ends' : count + ' hits, ' + compiled + ' rounds of compiled code'
  }
`

const programs = {
  'of a MemoryCache, ended by expiry': `
    const cache = new MemoryCache()
    console.log(await ends(spinning('cache.get(key)'), () => cache.set('k', 1, 0.1), cache))
  `,
  'of peek, ended by expiry': `
    const cache = new MemoryCache()
    console.log(await ends(spinning('cache.peek(key)'), () => cache.set('k', 1, 0.1), cache))
  `,
  'of getSync, ended by expiry': `
    const cache = new CacheService('memory://', '', { jitter: 0 })
    console.log(await ends(spinning('cache.getSync(key)'), () => cache.set('k', { a: 1 }, 0.1), cache))
  `,
  'of getSync, ended by an eviction on another thread': `
    // What comes from the server is put into memory by a thread of the core. One of these values just fits, alone.
    const url = process.argv[2]
    const writer = new CacheService(url, 'loops', { l1Bytes: 0, l2Timeout: 60 })
    const cache = new CacheService(url, 'loops', { l1Bytes: 1 << 20, maxStaleness: 3600, l2Timeout: 60 })
    const large = Array.from({ length: 8 }, (_, index) => 'large' + index)
    await writer.setMany(large.map((key, index) => [key, Buffer.alloc((1 << 20) - 150 * (index + 1))]), 3600)
    const spin = spinning('cache.getSync(key)')
    await ends(spin, () => cache.set('k', { a: 1 }, 0.1), cache)
    const put = async () => {
      await cache.set('k', { a: 1 }, 3600)
      cache.getSync('k')
      for (const key of large) cache.get(key).catch(() => {})
    }
    console.log(await ends(spin, put, cache))
    await cache.close()
    await writer.close()
  `,
}

for (const [index, node] of nodes.entries()) {
  describe(`on ${index === 0 ? `this Node.js, ${process.version}` : path.basename(path.resolve(node, '../../../..'))}`, () => {
    for (const [name, program] of Object.entries(programs)) {
      test(name, async () => {
        const file = path.join(folder, `${index}-${name.replaceAll(/\W/g, '-')}.mjs`)
        writeFileSync(file, PRELUDE + program)
        const { code, signal, stdout, stderr } = await run(node, ['--allow-natives-syntax', file, redis.url])
        assert.deepStrictEqual({ code, signal, stdout, stderr }, { code: 0, signal: null, stdout: 'ends\n', stderr: '' })
      })
    }
  })
}
