'use strict'

// Keys of calls on many. A key is a string or bytes; a string is the same key as its UTF-8.

const { types } = require('node:util')

const { InvalidOption } = require('./errors.js')

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What two spellings of one key have in common. What is no key is told by the addon. */
function identity(key) {
  if (!types.isUint8Array(key)) return key
  try {
    return utf8.decode(key)
  } catch {
    // No key of text has a lone surrogate.
    return '\ud800' + Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1')
  }
}

/** The keys that a caller gave, as an array. */
function listed(keys, operation) {
  if (Array.isArray(keys)) return keys
  if (typeof keys === 'object' && keys !== null && typeof keys[Symbol.iterator] === 'function' && !types.isUint8Array(keys)) {
    return [...keys]
  }
  throw new InvalidOption('keys must be an array or another iterable of keys', { operation })
}

/** The one key that a caller gave, or the several, as an array. */
function oneOrMore(keys, operation) {
  return typeof keys === 'string' || types.isUint8Array(keys) ? [keys] : listed(keys, operation)
}

/** The entries that a caller gave: of a Map, of an iterable of pairs, or of an object. */
function entriesOf(entries, operation) {
  const wrong = (found) => new InvalidOption(`entries must be a Map, an object or an iterable of pairs, ${found}`, { operation })
  if (typeof entries !== 'object' || entries === null) throw wrong(`are ${entries === null ? 'null' : typeof entries}`)
  if (typeof entries[Symbol.iterator] !== 'function') return Object.entries(entries)
  return Array.from(entries, (pair) => {
    if (!Array.isArray(pair) || pair.length !== 2) throw wrong('are an iterable of something else')
    return pair
  })
}

/**
 * Looks up what a fetch of many keys brought: a Map, or an object. What is undefined was left out.
 * @returns {(key: string | Uint8Array) => unknown}
 */
function lookup(fetched) {
  if (types.isMap(fetched)) {
    let byIdentity
    return (key) => {
      if (fetched.has(key)) return fetched.get(key)
      // Bytes are found by what is in them.
      byIdentity ??= new Map([...fetched].map(([other, value]) => [identity(other), value]))
      return byIdentity.get(identity(key))
    }
  }
  if (typeof fetched === 'object' && fetched !== null && !Array.isArray(fetched)) {
    return (key) => {
      const name = identity(key)
      return Object.hasOwn(fetched, name) ? fetched[name] : undefined
    }
  }
  return undefined
}

module.exports = { identity, listed, oneOrMore, entriesOf, lookup }
