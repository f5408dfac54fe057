// The worker of Node.js: prints a digest of the keys of each block of structures, and how many were unstable. The structures
// are those of structures.py.

import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'

const { CacheService, cached } = createRequire(import.meta.url)('../../../bindings-node')

const PIECES = ['a', 'b', '1', '"', '\\', '\n', '\0', 'é', '中', '🐦', '\ue000', ',', '}', ']', ')', ':', ' ', '!', '#', '=']
const WORDS = ['', '1', '1.5', 'true', 'null', '[]', '{}', 'x""', 'NaN', '<>']
const DEEPEST = 3
const BLOCK = 1000

let state = Number(process.argv[2]) | 0
const runs = Number(process.argv[3])

function next() {
  state = (state + 0x6D2B79F5) | 0
  let t = state
  t = Math.imul(t ^ (t >>> 15), t | 1)
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
  return (t ^ (t >>> 14)) >>> 0
}

const below = (count) => next() % count

/** Calls `make` as often as a number below 4 says. */
const several = (make) => Array.from({ length: below(4) }, make)

function value(depth) {
  switch (below(depth < DEEPEST ? 12 : 8)) {
    case 0: return null
    case 1: return below(2) === 1
    case 2: case 3: return below(5) - 2
    case 4: {
      const magnitude = BigInt(next()) * 2n ** 32n + BigInt(next())
      return below(2) === 1 ? -magnitude : magnitude
    }
    case 5: return number()
    case 6: return below(2) === 1 ? text() : WORDS[below(WORDS.length)]
    case 7: return Buffer.from(several(() => below(256)))
    case 8: case 9: return several(() => value(depth + 1))
    default: {
      const entries = []
      several(() => { const name = text(); entries.push([name, value(depth + 1)]) })
      // A Map keeps the order in which names like "1" came; an object is made of it without a prototype, for "__proto__".
      const object = Object.create(null)
      for (const [name, one] of entries) object[name] = one
      return object
    }
  }
}

function number() {
  const mantissa = next() || 1
  if (below(4) === 0) return mantissa * 2 ** (60 + below(900))
  const fraction = mantissa / 2 ** below(64)
  return Number.isInteger(fraction) ? fraction + 0.5 : fraction
}

function text() {
  return several(() => PIECES[below(PIECES.length)]).join('')
}

function reordered(argument) {
  if (Array.isArray(argument)) return argument.map(reordered)
  if (typeof argument !== 'object' || argument === null || Buffer.isBuffer(argument)) return argument
  return Object.fromEntries(Object.entries(argument).reverse().map(([name, one]) => [name, reordered(one)]))
}

const { getKey } = cached(new CacheService(), { name: 'f' }, () => 1)
let unstable = 0
let digest = createHash('sha256')
for (let run = 1; run <= runs; run += 1) {
  const args = several(() => value(0))
  const key = getKey(...args)
  if (key !== getKey(...args.map(reordered))) unstable += 1
  digest.update(`${key}\n`)
  if (run % BLOCK === 0 || run === runs) {
    console.log(digest.digest('hex'))
    digest = createHash('sha256')
  }
}
console.log(`unstable ${unstable}`)
