import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'

import { CacheService, PartialError, ScrubjayError } from './scrubjay.mjs'
import { operations } from './operations.mjs'
import { build, same, show } from './values.mjs'

const FIELDS = [
  'op', 'about', 'cache', 'options', 'key', 'keys', 'value', 'entries', 'ttl', 'codec', 'tags', 'fetch', 'count', 'leader', 'step',
  'within', 'remember', 'token', 'token_of', 'expect', 'expect_miss', 'expect_error', 'expect_names', 'expect_pending', 'expect_fetches', 'expect_missing',
  'expect_failed',
]

/** The error of a fetch, as a program would have its own. */
export class OriginError extends Error {}

/** Has the caches of one scenario and does its steps. */
export class Runner {
  /** @param {object} defaults options of every cache */
  constructor(defaults) {
    this.defaults = defaults
    /** @type {Map<string, CacheService>} */
    this.caches = new Map()
    /** Those of receipts, by the names under which they are remembered. @type {Map<string, string>} */
    this.tokens = new Map()
  }

  async steps(steps) {
    for (const [index, step] of steps.entries()) {
      try {
        await this.step(step)
      } catch (error) {
        throw new Error(`step ${index + 1}, ${step.op}: ${error?.message ?? error}`, { cause: error })
      }
    }
  }

  async step(step) {
    checkFields(step, FIELDS, 'a step')
    const name = step.cache ?? 'a'
    if (step.op === 'open') return outcome(step, () => this.open(name, step.options ?? {}))
    if (step.op === 'eventually') return this.eventually(step)
    const operation = Object.hasOwn(operations, step.op) ? operations[step.op] : undefined
    if (operation === undefined) throw new Error(`unknown operation ${JSON.stringify(step.op)}`)
    const cache = this.caches.get(name)
    if (cache === undefined) throw new Error(`no cache ${JSON.stringify(name)} is open`)
    return operation(this, cache, step)
  }

  /** Opens a cache under a name, with the defaults of the scenario where the options do not say. */
  async open(name, options) {
    const all = { ...this.defaults, ...build(options) }
    const cache = new CacheService(all.url, all.prefix, all)
    await this.caches.get(name)?.close()
    this.caches.set(name, cache)
  }

  async closeAll() {
    for (const cache of this.caches.values()) await cache.close()
  }

  async eventually(step) {
    if (step.step === undefined) throw new Error('there is no step to repeat')
    await poll((step.within ?? 10) * 1000, () => this.step({ cache: step.cache, ...step.step }))
  }
}

/** Refuses what this runner does not know. */
export function checkFields(object, known, what) {
  for (const field of Object.keys(object)) {
    if (!known.includes(field)) throw new Error(`unknown field ${JSON.stringify(field)} of ${what}`)
  }
}

/**
 * Tries every 5 ms until it succeeds, or throws the error of the first attempt that began after the time (in ms): an
 * earlier one saw what was allowed then, however long it took to say so.
 */
export async function poll(within, attempt) {
  const deadline = performance.now() + within
  for (;;) {
    const began = performance.now()
    try {
      return await attempt()
    } catch (error) {
      if (began > deadline) throw new Error(`not within ${within} ms: ${error?.message ?? error}`, { cause: error })
    }
    await pause(5)
  }
}

/** The kind of an error, as the corpus names it. */
function kindOf(error) {
  if (error instanceof PartialError) return 'Partial'
  if (error instanceof OriginError) return 'FetchFailed'
  if (error instanceof ScrubjayError) return error.code
  return error?.name === 'AbortError' ? 'Cancelled' : ''
}

/** Runs an operation and compares how it ended. Gives its value, or nothing where the error came that was expected. */
export async function outcome(step, run) {
  let value
  try {
    value = await run()
  } catch (error) {
    expectError(step, error)
    return { failed: error }
  }
  if (step.expect_error !== undefined) throw new Error(`${step.expect_error} was expected, nothing went wrong`)
  return { value }
}

/** Compares an error with the one expected; throws the error itself where none is. */
export function expectError(step, error) {
  if (step.expect_error === undefined) throw error
  const kind = kindOf(error)
  if (kind !== step.expect_error) {
    throw new Error(`${step.expect_error} was expected, not ${kind}: ${error?.message ?? error}`, { cause: error })
  }
  for (const name of step.expect_names ?? []) {
    if (!error.message.includes(name)) throw new Error(`${JSON.stringify(name)} is not in the message: ${error.message}`, { cause: error })
  }
}

/** Compares a value with the one expected, where one is. */
export function expectValue(step, actual) {
  if (step.expect === undefined) return
  const expected = build(step.expect)
  if (!same(expected, actual)) throw new Error(`expected ${show(expected)}, got ${show(actual)}`)
}
