'use strict'

// The values of a CacheService that were read from its memory tier, decoded: the tier itself keeps bytes. The core grants
// each copy, and charges it to the bound; whatever ends the entry ends the copy.
//
// Copies are found by keys that are strings. A key of bytes goes to the core each time.

const native = require('./native.js')
const runtime = require('./runtime.js')
const { WORD } = require('./exchange.js')
const { SlotMap, MOST_ENTRIES } = require('./slot-map.js')

const { exchange } = runtime

class Copies {
  /** The addon's handle of the cache. */
  #cache
  #slots
  /** How many slots the table has, as far as this runtime sees them. 0: nothing is kept. */
  #room

  constructor(cache) {
    this.#cache = cache
    const table = native.copies_open(cache)
    this.#slots = new SlotMap(table ?? new ArrayBuffer(SlotMap.HEADER), () => native.copies_drain(cache))
    this.#room = this.#slots.room
    if (table !== undefined) native.copies_wake(cache, this.#slots.id)
  }

  /** The copy for a key; undefined, which no value is, for none. */
  get(key) {
    const entry = this.#slots.find(key)
    return entry === undefined ? undefined : entry.value
  }

  /** Keeps a value, if the call that gave it has granted that. Gives the value, or the copy that there is already. */
  kept(key, value) {
    const slot = exchange[WORD.SLOT]
    if (slot >= 0) value = this.#keep(key, value, slot, exchange[WORD.GENERATION], exchange[WORD.UNTIL])
    this.#slots.sweep()
    return value
  }

  /**
   * The same for many.
   * @param {(string | Uint8Array)[]} keys
   * @param {unknown[]} values undefined for none
   * @param {ArrayBuffer | undefined} grants index, slot, generation and end of each
   */
  keptMany(keys, values, grants) {
    if (grants !== undefined) {
      const words = new Int32Array(grants)
      for (let at = 0; at < words.length; at += 4) {
        this.#keep(keys[words[at]], values[words[at]], words[at + 1], words[at + 2], words[at + 3])
      }
    }
    this.#slots.sweep()
  }

  #keep(key, value, slot, generation, until) {
    if (typeof key !== 'string' || value === undefined || slot >= this.#room) return value
    const before = this.#slots.map.get(key)
    if (before === undefined) {
      if (this.#slots.map.size >= MOST_ENTRIES) return value
    } else if (before.slot === slot && before.generation === generation) {
      return before.value
    }
    this.#slots.keep(key, value, before, slot, generation, until)
    return value
  }

  /** Drops what is gone; after a call that may have made it so. */
  sweep() {
    this.#slots.sweep()
  }

  /** Tells the core how many hits there were since it was told last. */
  report() {
    native.note_hits(this.#cache, this.#slots.takeHits())
  }

  /** Drops all, and keeps nothing from now on. */
  close() {
    this.#room = 0
    this.#slots.clear()
  }
}

module.exports = { Copies }
