'use strict'

// How many bytes a value takes in V8, about: for caches that are bounded by bytes and have no `sizeOf`.

const { types } = require('node:util')

/** An object or array of V8, and the header of a string. */
const OBJECT = 24
/** A slot for a value: a pointer or a small whole number. */
const WORD = 8
/** A number that is no small whole one, where it does not lie in an array of such. */
const NUMBER = 16
/** What a Map or Set takes, and for an entry beside its key and value. */
const TABLE = 120
const TABLE_ENTRY = 8
/** What a buffer takes beside its bytes, and a Date. */
const BUFFER = 200
const DATE = 112
/** The text is not one of single bytes. */
const WIDE = /[^\u0000-\u00ff]/ // eslint-disable-line no-control-regex

/**
 * The bytes of a value and of all that it alone leads to, its own word counted.
 * @param {unknown} value
 */
function bytesOf(value) {
  const type = typeof value
  if (type === 'string') return WORD + ofText(value)
  if (type === 'number') return Number.isInteger(value) ? WORD : WORD + NUMBER
  if (type !== 'object' || value === null) return WORD + (type === 'bigint' ? ofBigInt(value) : 0)
  return WORD + new Scale().weigh(value)
}

function ofText(text) {
  const units = WIDE.test(text) ? 2 * text.length : text.length
  return OBJECT + units
}

function ofBigInt(number) {
  return OBJECT + Math.ceil(number.toString(16).length / 2)
}

/** Weighs what hangs together; each object once. */
class Scale {
  #seen = new Set()
  /** Objects that were found and not weighed yet: nesting is as deep as it likes. */
  #todo = []

  weigh(object) {
    let bytes = 0
    this.#find(object)
    while (this.#todo.length > 0) bytes += this.#object(this.#todo.pop())
    return bytes
  }

  /** What a value takes where it stands; objects are noted for later. */
  #find(value) {
    switch (typeof value) {
      case 'string': return WORD + ofText(value)
      case 'number': return Number.isInteger(value) ? WORD : WORD + NUMBER
      case 'bigint': return WORD + ofBigInt(value)
      case 'object':
        if (value !== null && !this.#seen.has(value)) {
          this.#seen.add(value)
          this.#todo.push(value)
        }
    }
    return WORD
  }

  #object(object) {
    if (ArrayBuffer.isView(object)) return BUFFER + object.byteLength
    if (types.isAnyArrayBuffer(object)) return BUFFER + object.byteLength
    if (Array.isArray(object)) return this.#elements(object)
    let bytes = OBJECT
    if (types.isMap(object)) {
      bytes += TABLE
      for (const [key, value] of object) bytes += TABLE_ENTRY + this.#find(key) + this.#find(value)
    } else if (types.isSet(object)) {
      bytes += TABLE
      for (const value of object) bytes += TABLE_ENTRY + this.#find(value)
    } else if (types.isDate(object)) {
      bytes += DATE
    }
    for (const name of Object.keys(object)) {
      const property = Object.getOwnPropertyDescriptor(object, name)
      bytes += property !== undefined && 'value' in property ? this.#find(property.value) : WORD
    }
    return bytes
  }

  #elements(array) {
    let bytes = OBJECT + 2 * WORD
    for (const value of array) bytes += this.#find(value)
    return bytes
  }
}

module.exports = { bytesOf }
