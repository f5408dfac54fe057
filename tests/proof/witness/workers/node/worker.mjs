// What all readers and the writer of the worker share.

import { createRequire } from 'node:module'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { Log } from './log.mjs'
import { Truth } from './truth.mjs'

const folder = process.env.SCRUBJAY_PACKAGE ?? path.resolve(import.meta.dirname, '../../../../../bindings-node')

export const { CacheService, NotFound, PartialError } = createRequire(import.meta.url)(path.resolve(folder))
export { sleep }

export class Worker {
  reading = true
  writing = true
  // Whether writes have returned that have not reached the shared tier.
  pending = false

  static async start(config) {
    const { url, prefix, ...options } = config.options
    const worker = new Worker()
    worker.config = config
    worker.cache = new CacheService(url, prefix, options)
    worker.truth = await Truth.connect(config.truth)
    worker.log = new Log(config)
    worker.padding = '.'.repeat(config.padding)
    return worker
  }

  /** The staleness that the cache claims now, in seconds. */
  bound() {
    return this.cache.effectiveStalenessBound()
  }

  value(key, ver) {
    return { k: key, v: ver, p: this.padding }
  }
}

export const name = (key) => `key:${key}`

/** Some values end soon, so that they are refreshed and loaded again without any write. */
export const ttl = (key) => (key % 8 === 5 ? 0.3 : 60)

/** Whether this version of the key says that there is nothing. */
export const isAbsent = (key, ver) => key % 4 === 3 && ver % 4 === 3

/** A generator of numbers from 0 to 1 that a seed determines (mulberry32). */
export function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
