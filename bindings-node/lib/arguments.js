'use strict'

// The arguments of a function as text, for its default keys: the same arguments give the same text in every process and
// language, and different arguments never do. The core writes it for Rust and Python; the grammar is in
// docs/wire-format.md, tests/vectors/arguments.json holds this to it.

const { createHash } = require('node:crypto')
const { types } = require('node:util')

const { InvalidOption } = require('./errors.js')
const { MAX_DEPTH, isPlain, pathOf } = require('./encode.js')

/** Arguments whose text is longer stand in a key as its SHA-256. */
const MAX_ARGUMENTS = 256
/** The longest name of a function, escaped. */
const MAX_NAME = 512

/** A name in which only A-Z a-z 0-9 _ . - stand for themselves, so that it ends where the arguments begin. */
function escapedName(name) {
  if (!name.isWellFormed()) throw wrong('name has a surrogate that is not one of a pair')
  const escaped = name.replace(/[^\w.-]/gu, (character) =>
    Array.from(Buffer.from(character), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''))
  if (escaped.length >= 1 && escaped.length <= MAX_NAME) return escaped
  throw wrong(`name must be 1 to ${MAX_NAME} bytes, escaped, has ${escaped.length}`)
}

/**
 * The key of a call.
 * @param {string} name escaped
 * @param {unknown[]} values
 */
function callKey(name, values) {
  // f(1) and f(1, undefined) are the same call.
  let length = values.length
  while (length > 0 && values[length - 1] === undefined) length -= 1
  const parts = []
  for (let index = 0; index < length; index += 1) parts.push(write(values[index], [index]))
  const text = `(${parts.join()})`
  if (text.length <= MAX_ARGUMENTS && Buffer.byteLength(text) <= MAX_ARGUMENTS) return name + text
  return `${name}#${createHash('sha256').update(text).digest('hex')}`
}

function write(value, way) {
  switch (typeof value) {
    case 'string': return quoted(value, way)
    case 'number': return number(value)
    case 'boolean': return value ? 'true' : 'false'
    case 'bigint': return `${value}`
    case 'undefined': return 'undefined'
    case 'object': return value === null ? 'null' : writeObject(value, way)
    default: return refuse(way, `is a ${typeof value}`)
  }
}

/** A number without a fraction is an integer where it is surely that very one; a BigInt always is. */
function number(value) {
  if (Number.isSafeInteger(value) && !Object.is(value, -0)) return `${value}`
  if (!Number.isFinite(value)) return `${value}`
  const text = Object.is(value, -0) ? '-0' : `${value}`
  return /[.e]/.test(text) ? text : `${text}.0`
}

function quoted(text, way) {
  if (isPlain(text)) return `"${text}"`
  if (!text.isWellFormed()) refuse(way, 'has a surrogate that is not one of a pair')
  // eslint-disable-next-line no-control-regex
  return `"${text.replace(/["\\\u0000-\u001f]/g, (character) => (
    character < ' ' ? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}` : `\\${character}`
  ))}"`
}

function writeObject(object, way) {
  if (way.length > MAX_DEPTH) refuse(way, `is nested deeper than ${MAX_DEPTH} levels`)
  if (Array.isArray(object)) return `[${list(object, way).join()}]`
  if (types.isUint8Array(object)) return bytes(object)
  if (types.isSet(object)) return `<${ordered(list(object, way)).join()}>`
  if (types.isMap(object)) return typed('Map', map(Array.from(object), way))
  if (types.isDate(object)) return typed('Date', quoted(Number.isNaN(object.getTime()) ? 'invalid' : object.toISOString(), way))
  if (types.isRegExp(object)) return typed('RegExp', `[${quoted(object.source, way)},${quoted(object.flags, way)}]`)
  if (object instanceof URL) return typed('URL', quoted(object.href, way))
  if (ArrayBuffer.isView(object)) {
    return typed(object[Symbol.toStringTag], bytes(Buffer.from(object.buffer, object.byteOffset, object.byteLength)))
  }
  if (types.isArrayBuffer(object)) return typed('ArrayBuffer', bytes(Buffer.from(object)))
  const prototype = Object.getPrototypeOf(object)
  // Of anything else, its properties are not all that tells it from others. An object of another realm has the
  // Object.prototype of that one.
  const plain = prototype === null || Object.getPrototypeOf(prototype) === null
  if (!plain || types.isBoxedPrimitive(object) || types.isProxy(object) || typeof object.toJSON === 'function') {
    refuse(way, 'is no plain object')
  }
  if (Object.getOwnPropertySymbols(object).length > 0) refuse(way, 'has a symbol for a name')
  // { a: undefined } is {}, as in JSON.
  return map(Object.entries(object).filter(([, value]) => value !== undefined), way)
}

function typed(name, text) {
  return `!${name}(${text})`
}

function bytes(view) {
  return `x"${Buffer.from(view.buffer, view.byteOffset, view.byteLength).toString('hex')}"`
}

function list(items, way) {
  return Array.from(items, (value, index) => write(value, [...way, index]))
}

function map(entries, way) {
  const texts = new Map()
  for (const [name, value] of entries) {
    const at = [...way, typeof name === 'string' ? name : '…']
    texts.set(write(name, at), write(value, at))
  }
  return `{${ordered([...texts.keys()]).map((name) => `${name}:${texts.get(name)}`).join()}}`
}

/** Texts in the order of their UTF-8. That of JavaScript is another one where there are surrogates. */
function ordered(texts) {
  if (!texts.some((text) => /[\ud800-\udfff]/.test(text))) return texts.sort()
  return texts.sort((one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
}

/** @returns {never} */
function refuse(way, reason) {
  throw wrong(`key must be given: the argument ${pathOf(way)} ${reason}`)
}

function wrong(message) {
  return new InvalidOption(message, { operation: 'cached' })
}

module.exports = { escapedName, callKey, wrong }
