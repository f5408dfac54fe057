import { NotFound, PartialError, fetched } from './scrubjay.mjs'
import { bringing, concurrent, getOrFetch, update } from './fetch.mjs'
import { OriginError, expectError, expectValue, outcome } from './runner.mjs'
import { build, keyName, same, show } from './values.mjs'

async function get(_, cache, step) {
  const { value, failed } = await outcome(step, () => cache.get(build(step.key)))
  if (failed !== undefined) return
  if (step.expect_miss) {
    if (value !== undefined) throw new Error(`a miss was expected, got ${show(value)}`)
    return
  }
  expectValue(step, value)
}

/** An operation that answers with a receipt. */
function write(run) {
  return async (runner, cache, step) => {
    const { value: receipt } = await outcome(step, () => run(cache, step))
    if (receipt !== undefined && step.remember !== undefined) runner.tokens.set(step.remember, receipt.token)
    if (receipt !== undefined && step.expect_pending !== undefined && receipt.pending !== step.expect_pending) {
      throw new Error(`pending is ${receipt.pending}`)
    }
  }
}

async function observe(runner, cache, step) {
  const token = step.token_of === undefined ? step.token : runner.tokens.get(step.token_of)
  if (token === undefined) throw new Error('there is no token')
  await outcome(step, () => cache.observe(token, step.keys.map(build)))
}

async function getMany(_, cache, step) {
  const { value, failed } = await outcome(step, () => cache.getMany(step.keys.map(build)))
  if (failed === undefined) expectEntries(step, value)
}

async function stats(_, cache, step) {
  expectFields(step, cache.stats())
}

async function explain(_, cache, step) {
  const { value: seen, failed } = await outcome(step, () => cache.explain(build(step.key)))
  if (failed !== undefined) return
  expectFields(step, { ...seen, writers: seen.hold?.writers ?? 0, loading: seen.lease !== null })
}

function expectFields(step, actual) {
  for (const [field, value] of Object.entries(step.expect)) {
    if (!same(actual[field], value)) throw new Error(`${field} is ${show(actual[field])}, expected ${show(value)}`)
  }
}

async function getOrFetchMany(runner, cache, step) {
  if (step.fetch === undefined) throw new Error('there is no fetch')
  const asked = []
  const fetch = async (missing) => {
    asked.push(missing)
    if (step.fetch.error !== undefined) throw new OriginError(step.fetch.error)
    if (step.fetch.not_found) throw new NotFound()
    await runner.steps(step.fetch.during ?? [])
    const values = build(step.fetch.values ?? [])
    if (step.fetch.tags === undefined && step.fetch.ttl === undefined) return new Map(values)
    return new Map(values.map(([key, value]) => [key, fetched(value, bringing(step.fetch))]))
  }
  let values
  try {
    values = await cache.getOrFetchMany(step.keys.map(build), step.ttl && build(step.ttl), fetch, { codec: step.codec, tags: step.tags })
    if (step.expect_failed !== undefined) throw new Error('a partial failure was expected, nothing went wrong')
    if (step.expect_error !== undefined) throw new Error(`${step.expect_error} was expected, nothing went wrong`)
  } catch (error) {
    if (error instanceof PartialError && step.expect_failed !== undefined) {
      expectKeys('failed are', step.expect_failed.map(build), [...error.failed.keys()])
      values = error.values
      if (step.expect_error !== undefined) expectError(step, error)
    } else {
      expectError(step, error)
    }
  }
  if (step.expect_missing !== undefined) {
    const names = (lists) => JSON.stringify(lists.map((list) => list.map(keyName)))
    const expected = names(step.expect_missing.map(build))
    if (names(asked) !== expected) throw new Error(`the fetch was asked for ${names(asked)}, expected ${expected}`)
  }
  expectEntries(step, values)
}

function expectKeys(what, expected, actual) {
  const names = (keys) => JSON.stringify(keys.map(keyName).sort())
  if (names(expected) !== names(actual)) throw new Error(`${what} ${names(actual)}, expected ${names(expected)}`)
}

/** Compares a map with the pairs expected: these keys, no others. */
function expectEntries(step, actual) {
  if (step.expect === undefined) return
  const named = (entries) => new Map([...entries].map(([key, value]) => [keyName(key), value]))
  const expected = named(build(step.expect))
  const found = named(actual ?? [])
  const equal = expected.size === found.size && [...expected].every(([key, value]) => found.has(key) && same(value, found.get(key)))
  if (!equal) throw new Error(`expected ${show([...expected])}, got ${show([...found])}`)
}

const storing = (step) => ({ ttl: step.ttl === undefined ? undefined : build(step.ttl), codec: step.codec, tags: step.tags })

/** What each operation does. */
export const operations = {
  get,
  set: write((cache, step) => cache.set(build(step.key), build(step.value), storing(step))),
  delete: write((cache, step) => cache.delete(build(step.key))),
  clear: write((cache) => cache.clear()),
  invalidate_tags: write((cache, step) => cache.invalidateTags(step.tags)),
  close: write((cache) => cache.close()),
  get_many: getMany,
  set_many: write((cache, step) => cache.setMany(build(step.entries), storing(step))),
  delete_many: write((cache, step) => cache.deleteMany(step.keys.map(build))),
  get_or_fetch: getOrFetch,
  get_or_fetch_many: getOrFetchMany,
  concurrent,
  observe,
  stats,
  update,
  explain,
}
