'use strict'

// Stored values on their way out. The addon says which texts JSON.parse reads exactly: all but those that have whole
// numbers of 16 digits and more.

const native = require('./native.js')

const { EXACT, UNDECODABLE } = native

/** What decode gives for a value that this runtime cannot hold. */
const NONE = Symbol('undecodable')

/**
 * The value that the addon gave: a string, a Buffer, or [EXACT, text].
 * @returns {unknown} the value, or NONE
 */
function decode(stored) {
  try {
    if (typeof stored === 'string') return JSON.parse(stored)
    if (!Array.isArray(stored)) return stored
    if (stored[0] === EXACT) return new Reader(stored[1]).top()
  } catch {
    // The core checks texts from outside; what is left is what is too much for this runtime.
  }
  return NONE
}

/** Whether a value of the addon is a stored value, and no other answer. */
function isStored(answer) {
  return typeof answer === 'string' || (typeof answer === 'object' && answer !== null
    && (!Array.isArray(answer) || answer[0] === EXACT || answer[0] === UNDECODABLE))
}

/** A number, true, false or null, from where it begins. */
const TOKEN = /[^\s,\]}]+/y

/**
 * Reads JSON text with whole numbers beyond ±(2^53−1) as BigInt. The text was checked by the core, its depth too.
 * Everything else is read as JSON.parse does, which reads the scalars here.
 */
class Reader {
  constructor(text) {
    this.text = text
    this.at = 0
  }

  top() {
    const value = this.value()
    this.space()
    if (this.at < this.text.length) throw new SyntaxError('something follows the JSON')
    return value
  }

  value() {
    this.space()
    switch (this.text[this.at]) {
      case '{': return this.object()
      case '[': return this.array()
      case '"': return this.string()
      default: return this.scalar()
    }
  }

  object() {
    const object = {}
    this.at += 1
    if (this.take('}')) return object
    do {
      this.space()
      const name = this.string()
      this.expect(':')
      const value = this.value()
      // An assignment of __proto__ would set the prototype.
      if (name === '__proto__') Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
      else object[name] = value
    } while (this.take(','))
    this.expect('}')
    return object
  }

  array() {
    const array = []
    this.at += 1
    if (this.take(']')) return array
    do array.push(this.value())
    while (this.take(','))
    this.expect(']')
    return array
  }

  string() {
    const start = this.at
    let end = start
    do {
      end = this.text.indexOf('"', end + 1)
      if (end < 0) throw new SyntaxError('a string without its end')
    } while (this.isEscaped(end))
    this.at = end + 1
    return JSON.parse(this.text.slice(start, end + 1))
  }

  /** Whether an odd number of backslashes stands before a quote. */
  isEscaped(quote) {
    let before = quote
    while (this.text[before - 1] === '\\') before -= 1
    return (quote - before) % 2 === 1
  }

  scalar() {
    TOKEN.lastIndex = this.at
    const [token] = TOKEN.exec(this.text) ?? ['']
    this.at += token.length
    if (token.length < 16 || !/^-?\d+$/.test(token)) return JSON.parse(token)
    const number = Number(token)
    return Number.isSafeInteger(number) ? number : BigInt(token)
  }

  space() {
    while (' \t\n\r'.includes(this.text[this.at] ?? '.')) this.at += 1
  }

  take(character) {
    this.space()
    if (this.text[this.at] !== character) return false
    this.at += 1
    return true
  }

  expect(character) {
    if (!this.take(character)) throw new SyntaxError(`no ${character}`)
  }
}

module.exports = { decode, isStored, NONE }
