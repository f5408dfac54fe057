import { NotFound, fetched } from './scrubjay.mjs'
import { OriginError, checkFields, expectError, expectValue, outcome, poll } from './runner.mjs'
import { build, show } from './values.mjs'

/** How long a leader waits for the others to wait for it, in ms. */
const LEADER_PATIENCE = 20_000

/**
 * The fetch that a step describes. `runs` counts its runs; a step that fails inside it is in `broken`, because what a
 * fetch throws is for the cache.
 */
function describe(runner, cache, step) {
  const spec = step.fetch
  if (spec === undefined) throw new Error('there is no fetch')
  checkFields(spec, ['value', 'error', 'not_found', 'during', 'recursive', 'tags', 'ttl'], 'a fetch')
  if (spec.value === undefined && spec.error === undefined && !spec.not_found && spec.recursive === undefined) {
    throw new Error('the fetch has no result')
  }
  const value = build(spec.value)
  // One error for all runs: the callers must be given this very one.
  const failure = spec.error !== undefined ? new OriginError(spec.error) : spec.not_found ? new NotFound() : undefined
  const described = {
    runs: 0,
    broken: undefined,
    async fetch() {
      described.runs += 1
      try {
        await runner.steps(spec.during ?? [])
      } catch (error) {
        described.broken = error
      }
      if (spec.recursive !== undefined) return cache.getOrFetch(build(spec.recursive), ...fetchOptions(step, described.fetch))
      if (failure !== undefined) throw failure
      return spec.tags === undefined && spec.ttl === undefined ? value : fetched(value, bringing(spec))
    },
  }
  return described
}

/** What a fetch says of the storing of its value. */
export function bringing(spec) {
  return { ttl: spec.ttl === undefined ? undefined : build(spec.ttl), tags: spec.tags }
}

function fetchOptions(step, fetch, options = {}) {
  const ttl = step.ttl === undefined ? undefined : build(step.ttl)
  return [ttl, fetch, { codec: step.codec, tags: step.tags, ...options }]
}

function expectFetches(step, described) {
  if (described.broken !== undefined) throw new Error(`inside the fetch: ${described.broken.message}`, { cause: described.broken })
  if (step.expect_fetches !== undefined && described.runs !== step.expect_fetches) {
    throw new Error(`the fetch ran ${described.runs} times, expected ${step.expect_fetches}`)
  }
}

export async function getOrFetch(runner, cache, step) {
  const described = describe(runner, cache, step)
  let result
  try {
    result = await outcome(step, () => cache.getOrFetch(build(step.key), ...fetchOptions(step, described.fetch)))
  } finally {
    expectFetches(step, described)
  }
  if (result.failed === undefined) expectValue(step, result.value)
}

export async function update(runner, cache, step) {
  const described = describe(runner, cache, step)
  const { intent_ttl: intentTtl, ...options } = step.options ?? {}
  let result
  try {
    result = await outcome(step, () => cache.update(step.keys.map(build), described.fetch, { intentTtl, tags: step.tags, ...options }))
  } finally {
    expectFetches(step, described)
  }
  if (result.failed !== undefined || step.expect_pending === undefined) return
  const { pending } = result.value.receipt
  if (pending !== step.expect_pending) throw new Error(`pending is ${pending}`)
}

/** Lets many callers ask for one key at once. The first fetch returns when all others wait for it. */
export async function concurrent(runner, cache, step) {
  const described = describe(runner, cache, step)
  if (![undefined, 'cancel', 'panic'].includes(step.leader)) throw new Error(`unknown leader ${JSON.stringify(step.leader)}`)
  const before = cache.stats().waits
  const othersWait = () => poll(LEADER_PATIENCE, async () => {
    const waits = cache.stats().waits - before
    if (waits < step.count - 1) throw new Error(`${waits} callers wait, expected ${step.count - 1}`)
  })
  let leader
  const caller = async (index) => {
    const own = new AbortController()
    const fetch = async (context) => {
      if (leader !== undefined) return described.fetch()
      leader = index
      try {
        await othersWait()
      } catch (error) {
        described.broken = error
      }
      if (step.leader === undefined) return described.fetch()
      // In JavaScript nothing but its own cancellation ends a caller in the middle of its fetch.
      described.runs += 1
      own.abort()
      throw context.signal.reason
    }
    return cache.getOrFetch(build(step.key), ...fetchOptions(step, fetch, { signal: own.signal }))
  }
  const outcomes = await Promise.allSettled(Array.from({ length: step.count }, (_, index) => caller(index)))
  expectFetches(step, described)
  expectOutcomes(step, outcomes, leader)
}

function expectOutcomes(step, outcomes, leader) {
  let shared
  for (const [index, { status, value, reason }] of outcomes.entries()) {
    if (index === leader && step.leader !== undefined) {
      if (reason?.name !== 'AbortError') throw new Error(`the cancelled leader got ${show(value)}, ${reason}`)
      continue
    }
    try {
      if (step.expect_error !== undefined) {
        if (status === 'fulfilled') throw new Error(`${step.expect_error} was expected, nothing went wrong`)
        expectError(step, reason)
        shared ??= reason
        if (step.fetch.error !== undefined && reason !== shared) throw new Error('another error object')
      } else if (status === 'rejected') {
        throw reason
      } else {
        expectValue(step, value)
      }
    } catch (error) {
      throw new Error(`caller ${index}: ${error?.message ?? error}`, { cause: error })
    }
  }
}
