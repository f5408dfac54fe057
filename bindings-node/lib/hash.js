'use strict'

// Hashes of keys. The core tells by them which key comes back that it has evicted before; it never finds an entry by
// one, so keys that collide cost a little of its judgement and nothing else.

/** Keyed at random, like all hash tables here. */
const SEED = Math.floor(Math.random() * 2 ** 32) | 0

const double = new Float64Array(1)
const halves = new Int32Array(double.buffer)

/** @type {WeakMap<object, number>} */
const objects = new WeakMap()
let lastObject = 0

/**
 * A hash of 32 bits, the same for keys that are the same to a Map.
 * @param {unknown} key
 * @returns {number}
 */
function hashOf(key) {
  switch (typeof key) {
    case 'string': return ofText(key)
    case 'number': return ofNumber(key)
    case 'object': return key === null ? mixed(SEED + 1) : ofObject(key)
    case 'function': return ofObject(key)
    case 'bigint': return ofText(key.toString(36))
    case 'symbol': return ofText(key.description ?? '')
    default: return mixed(SEED + (key === undefined ? 2 : key ? 3 : 4))
  }
}

function ofText(text) {
  let hash = SEED
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return mixed(hash)
}

function ofNumber(number) {
  // Small whole numbers; and -0, which is 0 to a Map.
  if (number === (number | 0)) return mixed(SEED ^ (number | 0))
  // There are many NaN, and to a Map they are one.
  double[0] = Number.isNaN(number) ? 0.5 : number
  return mixed(SEED ^ halves[0] ^ Math.imul(halves[1], 31))
}

function ofObject(object) {
  let number = objects.get(object)
  if (number === undefined) objects.set(object, number = (lastObject += 1))
  return mixed(SEED ^ Math.imul(number, 0x9e3779b1))
}

/** Spreads what is in a few bits over all 32. */
function mixed(hash) {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

module.exports = { hashOf, mixed }
