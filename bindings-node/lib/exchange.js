'use strict'

// Numbers that cross to the addon and back in memory that both see, instead of as arguments and arrays: a call then
// costs a fraction. One for each environment; what a call leaves here is read before the next one.
//
// The layout is that of src/exchange.rs.

/** Where the words are, by index. */
const WORD = {
  /** Out: the slot of what was taken in, or of a copy that was granted; -1 for none. */
  SLOT: 0,
  GENERATION: 1,
  UNTIL: 2,
  /** Out: how many slots are listed from `GONE` on, each with its generation. */
  COUNT: 3,
  /** In: the slot that is replaced or removed, -1 for none. */
  INSTEAD: 4,
  INSTEAD_GENERATION: 5,
  /** In: the hash of the key, in two halves. */
  HASH: 6,
  /** Out: 1 when there were more than are listed. */
  MORE: 12,
  GONE: 16,
}

/** The same memory in numbers of 64 bits: in. */
const DOUBLE = { WEIGHT: 4, TTL: 5 }

module.exports = { WORD, DOUBLE }
