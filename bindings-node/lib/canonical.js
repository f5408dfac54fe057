'use strict'

// The arguments of a function as text, for its default keys: equal arguments give the same text in every process, and
// different arguments never do.

const { InvalidOption } = require('./errors.js')
const { MAX_DEPTH, isPlain, pathOf } = require('./encode.js')

/**
 * JSON of the arguments with the names of objects in order, and `7n` for a BigInt.
 * @param {unknown[]} values
 */
function canonical(values) {
  // f(1) and f(1, undefined) are the same call.
  let length = values.length
  while (length > 0 && values[length - 1] === undefined) length -= 1
  return write(values.slice(0, length), [])
}

function write(value, way) {
  switch (typeof value) {
    case 'string':
      if (!isPlain(value) && !value.isWellFormed()) refuse(way, 'has a surrogate that is not one of a pair')
      return JSON.stringify(value)
    case 'number':
      if (!Number.isFinite(value)) refuse(way, `is ${value}`)
      return Object.is(value, -0) ? '-0.0' : `${value}`
    case 'boolean': return `${value}`
    case 'bigint': return `${value}n`
    case 'object': return value === null ? 'null' : writeObject(value, way)
    default: return refuse(way, value === undefined ? 'is undefined' : `is a ${typeof value}`)
  }
}

function writeObject(object, way) {
  if (way.length > MAX_DEPTH) refuse(way, `is nested deeper than ${MAX_DEPTH} levels`)
  if (Array.isArray(object)) return `[${Array.from(object, (value, index) => write(value, [...way, index])).join()}]`
  const prototype = Object.getPrototypeOf(object)
  // Of anything else, its properties are not all that tells it from others. An object of another realm has the
  // Object.prototype of that one.
  const plain = prototype === null || Object.getPrototypeOf(prototype) === null
  if (!plain || typeof object.toJSON === 'function') {
    refuse(way, 'is no plain object')
  }
  const names = Object.keys(object).filter((name) => object[name] !== undefined).sort()
  return `{${names.map((name) => `${write(name, way)}:${write(object[name], [...way, name])}`).join()}}`
}

/** @returns {never} */
function refuse(way, reason) {
  throw new InvalidOption(`key must be given: the argument ${pathOf(way)} ${reason}`, { operation: 'cached' })
}

module.exports = { canonical }
