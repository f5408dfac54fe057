'use strict'

// Which leases a caller holds: those of the fetches inside which it runs. The core refuses a call that would wait for
// its own caller.

const { AsyncLocalStorage } = require('node:async_hooks')

/** A fetch that runs, and the one inside which it was begun. */
class Fetching {
  /**
   * @param {number[]} leases
   * @param {Fetching | undefined} outer
   */
  constructor(leases, outer) {
    this.leases = leases
    this.outer = outer
    /** What a fetch leaves behind, like a connection it opened, stays in its context after it has ended. */
    this.ended = false
  }
}

/** @type {AsyncLocalStorage<Fetching>} */
const storage = new AsyncLocalStorage()

/** The leases that the caller holds; undefined for none. */
function held() {
  let fetching = storage.getStore()
  let leases
  for (; fetching !== undefined; fetching = fetching.outer) {
    if (!fetching.ended && fetching.leases.length > 0) leases = (leases ?? []).concat(fetching.leases)
  }
  return leases
}

/** A fetch with these leases, inside the caller's. */
function within(leases) {
  return new Fetching(leases, storage.getStore())
}

/** A fetch with these leases that outlives its caller. */
function apart(leases) {
  return new Fetching(leases, undefined)
}

/** Runs `work` as part of a fetch. */
function run(fetching, work) {
  return storage.run(fetching, work)
}

module.exports = { held, within, apart, run }
