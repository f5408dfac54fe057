'use strict'

// The errors of fetches, so that the callers that waited for a fetch get the very error of the one that ran it. The
// core carries a number, and says when no answer can name it any more.

const native = require('./native.js')
const { errorOf } = require('./errors.js')

/** @type {Map<number, unknown>} */
const errors = new Map()
let host
let last

/** Begins the numbers of this environment's errors after `first`. */
function begin(ourHost, first) {
  host = ourHost
  last = first
}

/** Keeps an error, and returns its number. */
function put(error) {
  last += 1
  errors.set(last, error)
  return last
}

/** The error with this number, in a box: any value can be thrown, undefined too. */
function get(number) {
  return errors.has(number) ? { thrown: errors.get(number) } : undefined
}

/** Forgets the errors that no answer can name any more. */
function sweep() {
  if (errors.size === 0) return
  for (const number of native.released(host)) errors.delete(number)
}

/** What a failed call throws: the error of the fetch itself where it is at hand. */
function thrownBy(failure) {
  const box = failure.error ?? get(failure[6])
  return box === undefined ? errorOf(failure) : box.thrown
}

module.exports = { begin, put, get, sweep, thrownBy, size: () => errors.size }
