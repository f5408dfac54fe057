// Runs each case in a process of its own, and writes what they measured.

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

import { cases } from './cases.mjs'

const SCALE = Number(process.env.SCALE ?? 1)
const ROUNDS = Math.max(5, Math.round(101 * Math.min(1, SCALE)))
/** How long a subject runs in a round. Short, so that most rounds meet no other program. */
const ROUND_NS = 2e6
const WARM_UP_NS = 4e7
const MOST_TRIES = 10

async function time(work) {
  const start = process.hrtime.bigint()
  const value = await work()
  return { value, took: Number(process.hrtime.bigint() - start) }
}

/** The same, once more where another program took the processor away in between; on a busy machine not for ever. */
async function timeUndisturbed(work) {
  for (let tries = 1; ; tries++) {
    const { involuntaryContextSwitches: before } = process.resourceUsage()
    const timed = await time(work)
    if (process.resourceUsage().involuntaryContextSwitches === before || tries === MOST_TRIES) return timed
  }
}

/** In an order of its own for each round: what else runs on the machine has a rhythm, too. */
function shuffled(items) {
  return items.map((item) => [Math.random(), item]).sort(([a], [b]) => a - b).map(([, item]) => item)
}

async function measure(name) {
  const { key, check, subjects } = cases[name]
  const running = []
  for (const [subject, { make, loop }] of Object.entries(subjects)) {
    const cache = await make()
    const run = loop()
    // Doubled until a round is long enough, which warms it up too.
    let count = 1000
    for (let warm = 0; warm < WARM_UP_NS;) {
      const { took } = await time(() => run(cache, key(0), count))
      warm += took
      if (took < ROUND_NS / 2) count *= 2
    }
    running.push({ subject, cache, run, count, times: [] })
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const one of shuffled(running)) {
      const { value, took } = await timeUndisturbed(() => one.run(one.cache, key(round), one.count))
      if (!check(value, round)) throw new Error(`${name}: ${one.subject} gave a wrong value`)
      one.times.push(took / one.count)
    }
  }
  return running.map(({ subject, times }) => ({
    case: name, subject, metric: 'ns', value: Number(median(times).toFixed(2)), unit: 'ns/op', repeats: ROUNDS,
  }))
}

function median(numbers) {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1]
}

const [, , target] = process.argv
if (target in cases) {
  process.stdout.write(JSON.stringify(await measure(target)), () => process.exit())
} else {
  const only = process.env.CASES?.split(',') ?? Object.keys(cases)
  const results = only.flatMap((name) => {
    return JSON.parse(execFileSync(process.execPath, [fileURLToPath(import.meta.url), name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }))
  })
  writeFileSync(target, `${JSON.stringify(results, null, 2)}\n`)
  for (const { case: name, subject, value } of results) {
    const ours = results.find((other) => other.case === name && other.subject === 'scrubjay').value
    console.log(name.padEnd(16), subject.padEnd(18), `${value.toFixed(1)} ns`.padStart(12), `ours is ${(ours / value).toFixed(2)} ×`.padStart(18))
  }
}
