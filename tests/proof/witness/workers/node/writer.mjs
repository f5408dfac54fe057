// The writer.

import { Flag, Op } from './log.mjs'
import { isAbsent, name, random, sleep, ttl } from './worker.mjs'

/** Writes until it is told to stop. */
export async function writeOn(worker, seed) {
  const rng = random(seed)
  while (worker.writing) {
    await sleep((-Math.log(1 - rng()) / worker.config.writes) * 1000)
    await write(worker, rng)
  }
}

/** A new version in the truth; then the key is deleted, or set by the only one who writes it. */
async function write(worker, rng) {
  const key = choose(worker, rng)
  if (key === undefined) return
  const begun = worker.log.begin(Op.delete, 0)
  const ver = await worker.truth.write(key)
  if (rng() < 0.3) await sleep(rng() * 3)
  if (key % 2 === 0 && rng() < 0.5 && !isAbsent(key, ver)) begun.op = Op.set
  const receipt = await acknowledged(worker, begun.op, key, ver)
  worker.log.note(begun, key, ver, key, receipt.pending ? Flag.pending : 0)
  worker.pending ||= receipt.pending
}

async function acknowledged(worker, op, key, ver) {
  for (;;) {
    try {
      if (op === Op.delete) return await worker.cache.delete(name(key))
      return await worker.cache.set(name(key), worker.value(key, ver), ttl(key))
    } catch {
      // Nothing has happened then.
      await sleep(20)
    }
  }
}

/** An odd key, or an even one of this worker. */
function choose({ config }, rng) {
  const key = Math.floor(rng() * config.keys)
  if (key % 2 === 1) return key
  const own = (Math.floor(key / 2 / config.workers) * config.workers + config.worker) * 2
  return own < config.keys ? own : undefined
}

/** Writes down when what was pending has landed, and lets the log be seen. */
export function watchLanding(worker) {
  const begun = worker.log.begin(Op.landed, 0)
  if (worker.pending && worker.cache.stats().pending === 0) {
    worker.pending = false
    worker.log.note(begun, 0, -1, 0, 0)
  }
  worker.log.flush()
  // Nobody needs it; but where it is moved, this shows that it was.
  Date.now()
}
