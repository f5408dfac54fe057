'use strict'

/** A fetched value that says itself how it is to be stored. */
class Fetched {
  constructor(value, ttl, tags) {
    this.value = value
    this.ttl = ttl
    this.tags = tags
    Object.freeze(this)
  }
}

/** What fetched was given; what it says of a ttl and of tags is looked at when the value is stored. */
function fetched(value, options = {}) {
  const { ttl, tags } = fetchedOptions(options)
  return new Fetched(value, ttl, tags)
}

/** The value for the caller of a fetch. */
function valueOf(brought) {
  return brought instanceof Fetched ? brought.value : brought
}

const { fetchedOptions } = require('./options.js')

module.exports = { fetched, Fetched, valueOf }
