'use strict'

// Telling a listener of the entries that left a cache: after the call that made them leave has done its work, because a
// listener may use the cache.

class Departures {
  #listener
  /** @type {[unknown, unknown, string][]} */
  #left = []
  #telling = false

  /** @param {(value: unknown, key: unknown, reason: string) => void} listener */
  constructor(listener) {
    this.#listener = listener
  }

  note(key, value, reason) {
    this.#left.push([value, key, reason])
  }

  /** Tells what was noted, and what is noted while it tells. */
  tell() {
    if (this.#left.length === 0 || this.#telling) return
    this.#telling = true
    while (this.#left.length > 0) {
      const left = this.#left
      this.#left = []
      for (const departure of left) this.#one(departure)
    }
    this.#telling = false
  }

  #one([value, key, reason]) {
    try {
      this.#listener.call(undefined, value, key, reason)
    } catch (error) {
      // The call that made the entry leave has not failed; often it is not even the program's.
      process.nextTick(() => { throw error })
    }
  }
}

module.exports = { Departures }
