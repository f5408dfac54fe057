'use strict'

// What this runtime keeps for entries of the core. The core decides what lives, and says so in its slot table, which it
// shares with us: a hit is a look into a Map and into that table, and no call of the addon.
//
//   word 0           the time, in ms of the table; moved by the core every 10 ms while entries exist
//   word 1           nonzero while the core has slots to report that are gone
//   word 16 + 2 × n  the generation of slot n: whatever ends or replaces its entry makes it another
//   word 17 + 2 × n  its lowest byte counts hits, up to 3; written only when it changes
//
// The words change under other threads, and plain loads read them. A compiler may keep what it loaded from one turn of
// a loop to the next only where nothing in the loop could have changed it; the call in `find` that now and then counts
// the hits is something that could.

const { setTimeout } = require('node:timers')

const { WORD } = require('./exchange.js')
const { SlotIndex } = require('./slot-index.js')
const runtime = require('./runtime.js')

const { exchange } = runtime

const NOW = 0
const GONE = 1
const SLOTS = 16
const MOST_VISITS = 3

/** The longest time in milliseconds that the core tells by `until`. */
const LONGEST = 2 ** 30

/** After so many hits they are counted, and what is gone is looked for: a loop that never ends its turn gets no wake. */
const HITS_PER_LOOK = 1024

/** A Map of V8 with more than this many entries may fail to grow. */
const MOST_ENTRIES = 2 ** 23

class Entry {
  constructor(key, value, slot, generation, until, beyond) {
    this.key = key
    this.value = value
    this.slot = slot
    this.at = SLOTS + 2 * slot
    this.generation = generation
    this.until = until
    /** How many milliseconds after `until` its life ends: more than some days cannot be told by the table's time. */
    this.beyond = beyond
  }
}

class SlotMap {
  /** The bytes before the first slot. */
  static HEADER = 4 * SLOTS

  /** @type {Map<unknown, Entry>} */
  map = new Map()
  /** Hits since the last look, and those before. */
  hits = 0
  hitsBefore = 0
  /** Is told of each entry that is dropped. @type {import('./departures.js').Departures | undefined} */
  departures = undefined
  #index = new SlotIndex()
  #drain
  /** Whether more is gone than was listed by the last call. */
  #isBehind = false
  /** The next batch, where one turn was not enough. */
  #timer

  /**
   * @param {ArrayBuffer} table the core's slot table; it is never given to anybody else
   * @param {() => void} drain lists in the exchange what is gone, a batch at most
   */
  constructor(table, drain) {
    this.words = new Int32Array(table)
    this.bytes = new Uint8Array(table)
    this.#drain = drain
    /** What a wake of the core names this by. */
    this.id = runtime.enrol(this)
  }

  /** How many slots can be seen. */
  get room() {
    return (this.words.length - SLOTS) >>> 1
  }

  /** The live entry of a key; a hit. */
  find(key) {
    const entry = this.map.get(key)
    if (entry === undefined) return undefined
    const words = this.words
    const at = entry.at
    if (words[at] !== entry.generation || ((words[NOW] - entry.until) | 0) >= 0) return this.#found(entry)
    const visits = words[at + 1] & 255
    if (visits < MOST_VISITS) this.bytes[at * 4 + 4] = visits + 1
    if ((this.hits += 1) >= HITS_PER_LOOK) this.#look()
    return entry
  }

  /** The live entry of a key, without a trace. */
  peek(key) {
    const entry = this.map.get(key)
    return entry !== undefined && this.isLive(entry) ? entry : undefined
  }

  isLive(entry) {
    return this.words[entry.at] === entry.generation && this.remaining(entry) > 0
  }

  /** How many milliseconds an entry has left; 0 or less when it is over. */
  remaining(entry) {
    return ((entry.until - this.words[NOW]) | 0) + entry.beyond
  }

  /** Why a dead entry is dead. */
  reason(entry) {
    return this.remaining(entry) > 0 ? 'capacity' : 'expired'
  }

  /**
   * Keeps a value under a slot.
   * @param {Entry | undefined} before what is kept under the key
   */
  keep(key, value, before, slot, generation, until, beyond = 0) {
    const entry = new Entry(key, value, slot, generation, until, beyond)
    if (before !== undefined) this.#index.remove(before)
    // The slot was another entry's, of whose end we were not told yet.
    const other = this.#index.at(slot)
    if (other !== undefined) this.#drop(other)
    this.#index.put(entry)
    this.map.set(key, entry)
  }

  /** Takes out an entry of the map. */
  remove(entry) {
    this.#index.remove(entry)
    this.map.delete(entry.key)
  }

  /** Forgets everything. */
  clear() {
    this.map.clear()
    this.#index = new SlotIndex()
  }

  /** How many hits there were since this was last asked. */
  takeHits() {
    const hits = this.hitsBefore + this.hits
    this.hitsBefore = 0
    this.hits = 0
    return hits
  }

  /** Drops what the core says is gone; for after every call of the addon, when mostly nothing is. */
  sweep() {
    if (this.#isBehind || this.words[GONE] !== 0) this.sweepNow()
  }

  /** Drops a batch of it; what is left is for later turns. */
  sweepNow() {
    this.#drain()
    this.dropListed()
    if (this.#isBehind || this.words[GONE] !== 0) this.#sweepLater()
    this.departures?.tell()
  }

  /** Drops the slots that are listed in the exchange. */
  dropListed() {
    this.#isBehind = exchange[WORD.MORE] !== 0
    const end = WORD.GONE + 2 * exchange[WORD.COUNT]
    for (let at = WORD.GONE; at < end; at += 2) {
      const entry = this.#index.at(exchange[at])
      // The slot may be another's by now.
      if (entry !== undefined && entry.generation === exchange[at + 1]) this.#drop(entry)
    }
  }

  /** What is to be done when an entry was found at its end: it is dropped, unless it lives for longer than was seen. */
  #found(entry) {
    if (entry.beyond > 0 && this.isLive(entry)) {
      const more = Math.min(entry.beyond, LONGEST)
      entry.until = (entry.until + more) | 0
      entry.beyond -= more
      return entry
    }
    this.#drop(entry)
    this.departures?.tell()
    return undefined
  }

  #drop(entry) {
    this.remove(entry)
    this.departures?.note(entry.key, entry.value, this.reason(entry))
  }

  #look() {
    this.hitsBefore += this.hits
    this.hits = 0
    this.sweepNow()
  }

  #sweepLater() {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.sweepNow()
    }, 1)
    this.#timer.unref()
  }
}

module.exports = { SlotMap, MOST_ENTRIES, LONGEST }
