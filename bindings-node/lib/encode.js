'use strict'

// Values on their way in: bytes as they are, everything else as JSON text, written in one pass.
//
// JSON.stringify is not used for the whole: it turns NaN into null, drops undefined from arrays as null, writes a Map as
// {} and a lone surrogate as an escape that other languages refuse. Here all that is InvalidValue, with its path.

const { types } = require('node:util')
const { InvalidValue } = require('./errors.js')

/** The deepest nesting of a value. The core has the same bound; here it also ends cycles. */
const MAX_DEPTH = 64
/** Characters that JSON escapes, and surrogates, which may be lone. */
const SPECIAL = /[\u0000-\u001f"\\\ud800-\udfff]/ // eslint-disable-line no-control-regex
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/

/**
 * What the addon takes for a value: JSON text, or a Uint8Array for bytes.
 * @param {string} operation the operation that an error names
 * @param {unknown} value
 */
function encode(operation, value) {
  if (typeof value === 'object' && value !== null) {
    const bytes = bytesOf(value)
    if (bytes !== undefined) return bytes
  }
  try {
    return new Writer(operation).top(value)
  } catch (error) {
    // The longest string of V8 has 2^29 characters: more than any max_value.
    if (!(error instanceof RangeError) || error.message !== 'Invalid string length') throw error
    throw new InvalidValue('$ is longer as JSON than a string can be', { operation, cause: error })
  }
}

/** The bytes of what is stored as bytes; undefined for everything else. */
function bytesOf(value) {
  if (types.isUint8Array(value)) return types.isSharedArrayBuffer(value.buffer) ? Uint8Array.from(value) : value
  if (types.isArrayBuffer(value)) return new Uint8Array(value)
  // Other threads may write to it: a copy does not change under the addon's hands.
  if (types.isSharedArrayBuffer(value)) return Uint8Array.from(new Uint8Array(value))
  return undefined
}

/** Writes one value; keeps the way to where it is. */
class Writer {
  /** @param {string} operation */
  constructor(operation) {
    this.operation = operation
    /** The keys and indices from the top to the container that is being written. */
    this.way = []
    /** The open containers. */
    this.open = []
  }

  top(value) {
    const text = this.value(value, '')
    if (text === undefined) this.refuse(undefined, 'is undefined; null is a value, and "nothing" is said by throwing NotFound')
    return text
  }

  /** The text of a value; undefined for undefined. `key` is where it stands in its container. */
  value(value, key) {
    switch (typeof value) {
      case 'string': return this.text(value, key)
      case 'number': return this.number(value, key)
      case 'boolean': return value ? 'true' : 'false'
      case 'bigint': return value.toString()
      case 'undefined': return undefined
      case 'object': return value === null ? 'null' : this.object(value, key)
      default: return this.refuse(key, `is a ${typeof value}`)
    }
  }

  text(text, key) {
    if (!isPlain(text)) {
      if (!text.isWellFormed()) this.refuse(key, 'has a surrogate that is not one of a pair')
      return JSON.stringify(text)
    }
    return `"${text}"`
  }

  number(number, key) {
    if (Number.isSafeInteger(number)) return number === 0 && 1 / number < 0 ? '-0.0' : `${number}`
    if (!Number.isFinite(number)) this.refuse(key, `is ${number}`)
    const text = `${number}`
    // A whole number beyond the exact ones is a float, and is to be read as one: 1e21 has its exponent already.
    return Number.isInteger(number) && !text.includes('e') ? `${text}.0` : text
  }

  object(object, key) {
    if (Array.isArray(object) && typeof object.toJSON !== 'function') return this.array(object, key)
    const prototype = Object.getPrototypeOf(object)
    const plain = prototype === Object.prototype || prototype === null
    if (!plain && types.isDate(object) && Number.isNaN(object.getTime())) this.refuse(key, 'is an invalid Date')
    if (!plain && bytesLike(object)) this.refuse(key, `is of type ${nameOf(object)}; bytes can only be a whole value`)
    if (typeof object.toJSON === 'function') return this.replacement(object.toJSON(`${key}`), key)
    if (!plain) {
      if (types.isBoxedPrimitive(object)) return this.value(object.valueOf(), key)
      if (hidesItsContents(object)) this.refuse(key, `is of type ${nameOf(object)}`)
    }
    return this.properties(object, key)
  }

  /** What a toJSON gave; as in JSON.stringify its own toJSON is not asked again. */
  replacement(value, key) {
    if (typeof value !== 'object' || value === null) return this.value(value, key)
    if (Array.isArray(value)) return this.array(value, key)
    if (bytesLike(value) || hidesItsContents(value)) this.refuse(key, `has a toJSON that gives the type ${nameOf(value)}`)
    if (types.isBoxedPrimitive(value)) return this.value(value.valueOf(), key)
    return this.properties(value, key)
  }

  array(array, key) {
    this.enter(array, key)
    let out = '['
    for (let index = 0; index < array.length; index++) {
      const text = this.value(array[index], index)
      if (text === undefined) this.refuse(index, 'is undefined')
      if (index > 0) out += ','
      out += text
    }
    this.leave()
    return out + ']'
  }

  properties(object, key) {
    this.enter(object, key)
    let out = '{'
    for (const name of Object.keys(object)) {
      const text = this.value(object[name], name)
      // As everywhere in JavaScript, a property that is undefined is one that is not there.
      if (text === undefined) continue
      if (out.length > 1) out += ','
      out += this.text(name, name) + ':' + text
    }
    this.leave()
    return out + '}'
  }

  enter(container, key) {
    if (this.open.includes(container)) this.refuse(key, 'contains itself')
    if (this.open.length === MAX_DEPTH) this.refuse(key, `is nested deeper than ${MAX_DEPTH} levels`)
    this.open.push(container)
    this.way.push(key)
  }

  leave() {
    this.open.pop()
    this.way.pop()
  }

  /** @returns {never} */
  refuse(key, reason) {
    // The first step is into the value itself and has no name.
    const steps = this.open.length === 0 ? [] : [...this.way.slice(1), key]
    throw new InvalidValue(`${pathOf(steps)} ${reason}`, { operation: this.operation })
  }
}

/** Whether a string stands in JSON as it is. */
function isPlain(text) {
  // For a short one this is faster than to start the regular expression.
  if (text.length > 24) return !SPECIAL.test(text)
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit < 0x20 || unit === 0x22 || unit === 0x5c || (unit >= 0xd800 && unit <= 0xdfff)) return false
  }
  return true
}

function bytesLike(object) {
  return ArrayBuffer.isView(object) || types.isAnyArrayBuffer(object)
}

/** Whether an object has contents that its properties do not show: JSON.stringify writes {} for it. */
function hidesItsContents(object) {
  return types.isMap(object) || types.isSet(object) || types.isWeakMap(object) || types.isWeakSet(object)
    || types.isRegExp(object) || types.isPromise(object) || types.isNativeError(object)
}

function nameOf(object) {
  return Object.prototype.toString.call(object).slice(8, -1)
}

/** Steps into a value as text: $.a[3]["odd name"]. */
function pathOf(steps) {
  return steps.reduce((path, step) => {
    if (typeof step === 'number') return `${path}[${step}]`
    const name = step.slice(0, 64)
    return IDENTIFIER.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`
  }, '$')
}

module.exports = { encode, bytesOf, isPlain, pathOf, MAX_DEPTH }
