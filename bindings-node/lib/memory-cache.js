'use strict'

// A cache of this runtime alone: its keys and values are JavaScript's own, the core decides what lives.

const native = require('./native.js')
const runtime = require('./runtime.js')
const { WORD, DOUBLE } = require('./exchange.js')
const { SlotMap, MOST_ENTRIES, LONGEST } = require('./slot-map.js')
const { Departures } = require('./departures.js')
const { errorOf, InvalidOption } = require('./errors.js')
const { hashOf, mixed } = require('./hash.js')
const { bytesOf } = require('./weigh.js')
const { isRecord, typeName, check } = require('./options.js')

const { exchange, doubles } = runtime

const OPTIONS = new Set(['max', 'maxBytes', 'ttl', 'sizeOf', 'onEvict'])
const SET_OPTIONS = new Set(['ttl', 'size'])
/** More than any machine has. */
const MOST_BYTES = 2 ** 46

/** What an entry takes beside its key and value: in the Map, in the index, by itself, and in the core. */
const ENTRY_BYTES = 240

class MemoryCache {
  /** The addon's handle. */
  #slots
  #entries
  /** How long an entry lives, in milliseconds. */
  #ttl
  /** Tells the bytes of a value; undefined without a bound in bytes. */
  #sizeOf
  /** @type {Departures | undefined} */
  #departures
  #hits = 0
  #misses = 0
  /** The ttl that a call gave last, in seconds and in milliseconds. */
  #lastTtl
  #lastMillis

  constructor(options = {}) {
    if (!isRecord(options)) throw wrong('open', `options must be an object, are ${typeName(options)}`)
    check(options, OPTIONS, 'open')
    const { max, maxBytes, ttl, sizeOf = bytesOf, onEvict } = options
    if (max !== undefined) checkWhole('max', max, 1, MOST_ENTRIES)
    if (maxBytes !== undefined) checkWhole('maxBytes', maxBytes, 1, MOST_BYTES)
    checkFunction('sizeOf', sizeOf)
    this.#ttl = millisOf(ttl, 'open')
    this.#sizeOf = max === undefined || maxBytes !== undefined ? sizeOf : undefined
    // A large bound in bytes may be more entries than fit into a Map.
    const [slots, table] = checked(native.slots_open(runtime.host, maxBytes === undefined ? max : max ?? MOST_ENTRIES, maxBytes))
    this.#slots = slots
    this.#entries = new SlotMap(table, () => native.slots_drain(slots))
    if (onEvict !== undefined) {
      checkFunction('onEvict', onEvict)
      this.#departures = this.#entries.departures = new Departures(onEvict)
    }
    native.slots_wake(slots, this.#entries.id)
  }

  get(key) {
    const entry = this.#entries.find(key)
    if (entry !== undefined) return entry.value
    this.#misses += 1
    return undefined
  }

  peek(key) {
    return this.#entries.peek(key)?.value
  }

  has(key) {
    return this.#entries.peek(key) !== undefined
  }

  ttl(key) {
    const entry = this.#entries.peek(key)
    return entry === undefined ? undefined : this.#entries.remaining(entry) / 1000
  }

  set(key, value, options) {
    const entries = this.#entries
    let ttl = this.#ttl
    let size
    if (typeof options === 'number') ttl = this.#millis(options)
    else if (options !== undefined && options !== null) [ttl, size] = this.#setting(options)
    // What may call the program or the addon comes before the exchange is written.
    doubles[DOUBLE.WEIGHT] = this.#sizeOf === undefined ? 0 : this.#weigh(key, value, size)
    const hash = hashOf(key)
    const before = entries.map.get(key)
    exchange[WORD.HASH] = hash
    exchange[WORD.HASH + 1] = mixed(hash + 1)
    doubles[DOUBLE.TTL] = ttl
    name(before)
    const departures = this.#departures
    const wasLive = departures !== undefined && before !== undefined && entries.isLive(before)
    native.slots_insert(this.#slots)
    entries.dropListed()
    if (departures !== undefined && before !== undefined && entries.map.get(key) === before) {
      departures.note(key, before.value, wasLive ? 'replaced' : entries.reason(before))
    }
    if (exchange[WORD.SLOT] >= 0) {
      const beyond = Math.max(0, ttl - LONGEST)
      entries.keep(key, value, before, exchange[WORD.SLOT], exchange[WORD.GENERATION], exchange[WORD.UNTIL], beyond)
    } else {
      if (before !== undefined) entries.remove(before)
      departures?.note(key, value, 'capacity')
    }
    entries.sweep()
    departures?.tell()
    return this
  }

  delete(key) {
    const entries = this.#entries
    const entry = entries.map.get(key)
    if (entry === undefined) return false
    const wasLive = entries.isLive(entry)
    const reason = wasLive ? 'removed' : entries.reason(entry)
    name(entry)
    native.slots_remove(this.#slots)
    entries.remove(entry)
    this.#departures?.note(key, entry.value, reason)
    entries.sweep()
    this.#departures?.tell()
    return wasLive
  }

  clear() {
    const entries = this.#entries
    if (this.#departures !== undefined) {
      for (const [key, entry] of entries.map) {
        this.#departures.note(key, entry.value, entries.isLive(entry) ? 'cleared' : entries.reason(entry))
      }
    }
    native.slots_clear(this.#slots)
    entries.clear()
    this.#departures?.tell()
  }

  get size() {
    this.#entries.sweep()
    return this.#entries.map.size
  }

  * entries() {
    const entries = this.#entries
    for (const [key, entry] of entries.map) if (entries.isLive(entry)) yield [key, entry.value]
  }

  * keys() {
    const entries = this.#entries
    for (const [key, entry] of entries.map) if (entries.isLive(entry)) yield key
  }

  * values() {
    const entries = this.#entries
    for (const entry of entries.map.values()) if (entries.isLive(entry)) yield entry.value
  }

  forEach(callback, thisArg = undefined) {
    for (const [key, value] of this.entries()) Reflect.apply(callback, thisArg, [value, key, this])
  }

  stats() {
    this.#hits += this.#entries.takeHits()
    const [evictions, expired, entries, bytes] = native.slots_stats(this.#slots)
    return { hits: this.#hits, misses: this.#misses, evictions, expired, entries, bytes }
  }

  #millis(ttl) {
    if (ttl !== this.#lastTtl) {
      this.#lastMillis = millisOf(ttl, 'set')
      this.#lastTtl = ttl
    }
    return this.#lastMillis
  }

  /** The options of a set: the ttl in milliseconds, and the size. */
  #setting(options) {
    if (!isRecord(options)) throw wrong('set', `ttl must be a number of seconds, is ${typeName(options)}`)
    check(options, SET_OPTIONS, 'set')
    const { ttl, size } = options
    if (size !== undefined) checkSize('size must be', size)
    return [ttl === undefined || ttl === null ? this.#ttl : this.#millis(ttl), size]
  }

  #weigh(key, value, size) {
    if (size === undefined) {
      size = this.#sizeOf(value, key)
      checkSize('sizeOf must give', size)
    }
    return ENTRY_BYTES + size + (typeof key === 'string' ? bytesOf(key) : 0)
  }
}

Object.defineProperty(MemoryCache.prototype, Symbol.iterator, {
  value: MemoryCache.prototype.entries, writable: true, configurable: true,
})
Object.defineProperty(MemoryCache.prototype, Symbol.toStringTag, { value: 'MemoryCache', configurable: true })

/** Names an entry to the next call. */
function name(entry) {
  if (entry === undefined) {
    exchange[WORD.INSTEAD] = -1
  } else {
    exchange[WORD.INSTEAD] = entry.slot
    exchange[WORD.INSTEAD_GENERATION] = entry.generation
  }
}

function millisOf(ttl, operation) {
  return checked(native.ttl_millis(ttl, operation))
}

function checked(answer) {
  if (Array.isArray(answer) && answer[0] === native.FAILED) throw errorOf(answer)
  return answer
}

function checkWhole(option, value, least, most) {
  if (Number.isInteger(value) && value >= least && value <= most) return
  throw wrong('open', `${option} must be a whole number from ${least} to ${most}, is ${told(value)}`)
}

function checkFunction(option, value) {
  if (typeof value !== 'function') throw wrong('open', `${option} must be a function, is ${told(value)}`)
}

function checkSize(what, size) {
  if (typeof size === 'number' && size >= 0 && size <= MOST_BYTES) return
  throw wrong('set', `${what} a number of bytes from 0 to ${MOST_BYTES}, is ${told(size)}`)
}

/** A wrong value, as far as it may be told. */
function told(value) {
  return typeof value === 'number' ? `${value}` : typeName(value)
}

function wrong(operation, message) {
  return new InvalidOption(message, { operation })
}

module.exports = { MemoryCache }
