// The values of the corpus: {"$bytes": …} and its like are values that JSON does not have, or that would be too long
// to write down.

import { inspect } from 'node:util'

/** A string, or a number. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g

/** JSON.parse, but whole numbers that it would round become {"$int": digits}. */
export function parse(text) {
  return JSON.parse(text.replace(TOKEN, (token) => {
    const long = /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token))
    return long ? `{"$int": "${token}"}` : token
  }))
}

/** The value that a JSON value of the corpus means. */
export function build(plain) {
  if (Array.isArray(plain)) return plain.map(build)
  if (typeof plain !== 'object' || plain === null) return plain
  const names = Object.keys(plain)
  if (names.length === 1 && names[0].startsWith('$')) return tagged(names[0], plain[names[0]])
  const object = {}
  for (const name of names) {
    Object.defineProperty(object, name, { value: build(plain[name]), writable: true, enumerable: true, configurable: true })
  }
  return object
}

function tagged(tag, argument) {
  switch (tag) {
    case '$bytes': return Buffer.from(argument, 'base64')
    case '$int': return Number.isSafeInteger(Number(argument)) ? Number(argument) : BigInt(argument)
    case '$float': return { NaN, Infinity, '-Infinity': -Infinity }[argument]
    case '$nested': {
      let nested = []
      for (let depth = 1; depth < argument; depth++) nested = [nested]
      return nested
    }
    case '$repeat': return argument[0].repeat(argument[1])
    case '$bytes_repeat': return Buffer.alloc(argument[1], argument[0])
    default: throw new Error(`unknown value {${JSON.stringify(tag)}: ${JSON.stringify(argument)}}`)
  }
}

/** Whether a value that was read is the one expected. Numbers are compared exactly, whatever their type. */
export function same(expected, actual) {
  if (typeof expected === 'number' || typeof expected === 'bigint') {
    // == compares a number with a bigint by their mathematical values.
    return (typeof actual === 'number' || typeof actual === 'bigint') && expected == actual // eslint-disable-line eqeqeq
  }
  if (typeof expected !== 'object' || expected === null) return expected === actual
  if (typeof actual !== 'object' || actual === null) return false
  if (expected instanceof Uint8Array || actual instanceof Uint8Array) {
    return expected instanceof Uint8Array && actual instanceof Uint8Array && Buffer.compare(expected, actual) === 0
  }
  if (Array.isArray(expected) !== Array.isArray(actual)) return false
  const names = Object.keys(expected)
  return names.length === Object.keys(actual).length
    && names.every((name) => Object.hasOwn(actual, name) && same(expected[name], actual[name]))
}

/** What two keys that are the same have in common: their bytes. */
export function keyName(key) {
  return Buffer.from(key).toString('latin1')
}

/** How much of a value a message shows. */
const SHOWN = { depth: 4, maxArrayLength: 20, maxStringLength: 200, breakLength: Infinity }

/** A value for a message, not too long: what is cut is not looked at. */
export function show(value) {
  const text = inspect(value, SHOWN)
  return text.length > 500 ? `${text.slice(0, 500)}…` : text
}
