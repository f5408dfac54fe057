// The worker of Node.js. See ../run.py.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'

const { CacheService } = createRequire(import.meta.url)(process.env.PACKAGE)

const KEYS = Array.from({ length: 100 }, (_, n) => `user:${String(n).padStart(8, '0')}`)
const VALUES = new Map(KEYS.map((key, n) => [key, { id: n, name: key }]))
const TTL = 3600
const FETCH_MS = 5
const WARM_CALLERS = 2
const COLD_CALLERS = 4
const BURST = 500
const PAUSE_MS = 1
const HITS = 4_000
/** What no hit takes. */
const SLOW_MS = 1

let colds = 0

/** One with Redis, and one in memory alone. */
class Caches {
  constructor(url) {
    this.shared = new CacheService(url, 'bench')
    this.alone = new CacheService('memory://', 'bench')
  }

  /** Waits until Redis tells of writes, and memory has all keys. */
  async ready() {
    for (const [key, value] of VALUES) await this.alone.set(key, value, TTL)
    for (;;) {
      const before = this.shared.stats()
      for (const [key, value] of VALUES) assert.deepEqual(await this.shared.getOrFetch(key, TTL, () => value), value)
      const after = this.shared.stats()
      const allHit = after.hits_l1 - before.hits_l1 === KEYS.length
      if (allHit && after.breaker_state === 'closed' && after.coherence_lag_ms > 0) return {}
      await pause(10)
    }
  }

  /** Times hits of both, in turn. */
  async hits(rounds) {
    const drawn = Array.from({ length: HITS }, (_, n) => KEYS[(n * 37) % KEYS.length])
    const times = { on: [], off: [] }
    const subjects = [['on', this.shared], ['off', this.alone]]
    for (let round = -20; round < rounds; round += 1) {
      for (const [name, cache] of round % 2 === 0 ? subjects : subjects.toReversed()) {
        const took = await timed(cache, drawn)
        if (round >= 0) times[name].push(took * 1e6 / HITS)
      }
    }
    return times
  }

  /** Warm and cold callers side by side. */
  async load(seconds) {
    const end = performance.now() + seconds * 1000
    const warm = []
    const cold = []
    await Promise.all([
      ...Array.from({ length: WARM_CALLERS }, () => this.#warm(end, warm)),
      ...Array.from({ length: COLD_CALLERS }, () => this.#cold(end, cold)),
    ])
    const sorted = Float64Array.from(warm).sort()
    const us = (share) => sorted[Math.floor(sorted.length * share)] * 1e3
    const slow = warm.filter((took) => took >= SLOW_MS).length
    return { warm: { p50_us: us(0.5), p99_us: us(0.99), slow_ppm: slow * 1e6 / warm.length }, cold }
  }

  async #warm(end, times) {
    for (let n = 0; performance.now() < end; n += BURST) {
      let key
      let found
      for (let i = n; i < n + BURST; i += 1) {
        key = KEYS[i % KEYS.length]
        const begun = performance.now()
        found = await this.shared.getOrFetch(key, TTL, () => slowly(VALUES.get(key)))
        times.push(performance.now() - begun)
      }
      assert.deepEqual(found, VALUES.get(key))
      await pause(PAUSE_MS)
    }
  }

  async #cold(end, calls) {
    for (let n = 0; performance.now() < end; n += 1) {
      colds += 1
      const key = `cold:${colds}`
      const isAlone = n % 2 === 1
      const cache = isAlone ? this.alone : this.shared
      const state = isAlone ? 'alone' : cache.stats().breaker_state
      let fetched = 0
      const begun = performance.now()
      const found = await cache.getOrFetch(key, TTL, async () => {
        const fetching = performance.now()
        await pause(FETCH_MS)
        fetched = performance.now() - fetching
        return key
      })
      calls.push([(performance.now() - begun - fetched) * 1e3, state])
      assert.equal(found, key)
      await pause(2 * FETCH_MS)
    }
  }
}

async function slowly(value) {
  await pause(FETCH_MS)
  return value
}

async function timed(cache, drawn) {
  let found
  const begun = performance.now()
  for (const key of drawn) found = await cache.get(key)
  const took = performance.now() - begun
  assert.deepEqual(found, VALUES.get(drawn.at(-1)))
  return took
}

let caches
for await (const line of createInterface({ input: process.stdin })) {
  const [command, argument] = line.split(' ')
  if (command === 'ready') caches ??= new Caches(argument)
  const answer = command === 'ready' ? await caches.ready() : await caches[command](Number(argument))
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit()
