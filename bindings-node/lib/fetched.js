'use strict'

/** A fetched value that says itself how it is to be stored. */
class Fetched {
  constructor(value, ttl, tags, keep = true) {
    this.value = value
    this.ttl = ttl
    this.tags = tags
    this.keep = keep
    Object.freeze(this)
  }
}

/** What fetched was given; what it says of a ttl and of tags is looked at when the value is stored. */
function fetched(value, options = {}) {
  const { ttl, tags, keep } = fetchedOptions(options)
  return new Fetched(value, ttl, tags, keep)
}

/** The value for the caller of a fetch. */
function valueOf(brought) {
  return brought instanceof Fetched ? brought.value : brought
}

const { fetchedOptions } = require('./options.js')

module.exports = { fetched, Fetched, valueOf }
