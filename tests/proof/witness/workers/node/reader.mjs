// The readers.

import { Flag, Op } from './log.mjs'
import { NotFound, PartialError, isAbsent, name, random, sleep, ttl } from './worker.mjs'

/** How the truth fails now and then. */
class FetchFailed extends Error {}

const EVEN_COURSE = { before: 0, after: 0, fails: false }

/** How a fetch goes: it takes its time before and after it looks, and fails now and then. */
function drawCourse(worker, rng) {
  const pause = () => (rng() < 0.2 ? rng() * 5 : 0)
  const before = pause()
  return { before, after: pause() + (rng() < 0.02 ? 50 : 0), fails: rng() < worker.config.fail }
}

async function look(worker, keys, course) {
  if (course.before > 0) await sleep(course.before)
  const vers = await worker.truth.read(keys)
  if (course.after > 0) await sleep(course.after)
  if (course.fails) throw new FetchFailed('the truth failed')
  return vers
}

/** Reads until it is told to stop, at the pace that it was told. */
export async function readOn(worker, seed) {
  const rng = random(seed)
  const pace = worker.config.pace / worker.config.readers / 1000
  let begun = performance.now()
  let done = 0
  while (worker.reading) {
    const burst = 1 + Math.floor(rng() * 15)
    for (let turn = 0; turn < burst; turn++) done += await read(worker, rng)
    const ahead = done / pace - (performance.now() - begun)
    if (ahead < -500) {
      // What an outage has kept it from is not made up for.
      begun = performance.now()
      done = 0
    }
    await sleep(Math.max(ahead, 0))
  }
}

/** One call; how many keys it read. */
async function read(worker, rng) {
  const key = Math.floor(rng() * worker.config.keys)
  const kind = rng()
  if (kind < 0.45) {
    // Half of them look into memory first, as who must not wait does.
    await get(worker, key, kind < 0.22)
    return 1
  }
  if (kind < 0.85) {
    await getOrFetch(worker, key, drawCourse(worker, rng), Op.getOrFetch)
    return 1
  }
  const keys = new Set()
  const count = 2 + Math.floor(rng() * 5)
  while (keys.size < count) keys.add(Math.floor(rng() * worker.config.keys))
  if (kind < 0.92) await getMany(worker, [...keys])
  else await getOrFetchMany(worker, [...keys], drawCourse(worker, rng))
  return count
}

/** Writes down what a read found. */
function found(worker, begun, key, value, flags) {
  if (value === undefined) worker.log.note(begun, key, -1, key, flags | Flag.miss)
  else worker.log.note(begun, key, value.v, value.k, flags)
}

async function get(worker, key, fromMemory) {
  const begun = worker.log.begin(Op.get, worker.bound())
  try {
    const value = fromMemory ? worker.cache.getSync(name(key)) : undefined
    found(worker, begun, key, value ?? (await worker.cache.get(name(key))), 0)
  } catch {
    worker.log.note(begun, key, -1, key, Flag.failed)
  }
}

async function getOrFetch(worker, key, course, op) {
  let flags = 0
  const begun = worker.log.begin(op, worker.bound())
  try {
    const value = await worker.cache.getOrFetch(name(key), ttl(key), async () => {
      flags = Flag.loaded
      const [ver] = await look(worker, [key], course)
      if (isAbsent(key, ver)) throw new NotFound()
      return worker.value(key, ver)
    })
    found(worker, begun, key, value, flags)
  } catch (error) {
    worker.log.note(begun, key, -1, key, flags | (error instanceof NotFound ? Flag.negative : Flag.failed))
  }
}

async function getMany(worker, keys) {
  const begun = worker.log.begin(Op.getMany, worker.bound())
  let values = new Map()
  let flags = 0
  try {
    values = await worker.cache.getMany(keys.map(name))
  } catch {
    flags = Flag.failed
  }
  for (const key of keys) found(worker, begun, key, values.get(name(key)), flags)
}

async function getOrFetchMany(worker, keys, course) {
  const asked = new Set()
  const load = async (missing) => {
    const numbers = missing.map((key) => Number(key.slice(4)))
    for (const key of numbers) asked.add(key)
    const vers = await look(worker, numbers, course)
    const there = numbers.map((key, at) => [key, vers[at]]).filter(([key, ver]) => !isAbsent(key, ver))
    return new Map(there.map(([key, ver]) => [name(key), worker.value(key, ver)]))
  }
  const begun = worker.log.begin(Op.getOrFetchMany, worker.bound())
  let values
  let failed = new Map()
  try {
    values = await worker.cache.getOrFetchMany(keys.map(name), 60, load)
  } catch (error) {
    const partial = error instanceof PartialError
    values = partial ? error.values : new Map()
    failed = partial ? error.failed : new Map(keys.map((key) => [name(key), error]))
  }
  for (const key of keys) {
    const flags = (asked.has(key) ? Flag.loaded : 0) | (failed.has(name(key)) ? Flag.failed : 0)
    found(worker, begun, key, values.get(name(key)), flags)
  }
}

/** Reads every key once more. */
export async function readLast(worker) {
  for (let key = 0; key < worker.config.keys; key++) await getOrFetch(worker, key, EVEN_COURSE, Op.last)
  worker.log.flush()
}
