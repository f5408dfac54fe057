'use strict'

// The entries by their slots. The core deals slots out from several ranges, so an array of all would be mostly holes:
// it is made in pieces, where they are used.

const BITS = 10
const MASK = (1 << BITS) - 1

class SlotIndex {
  /** @type {(unknown[] | undefined)[]} */
  #pieces = []

  /** The entry of a slot; undefined for none. */
  at(slot) {
    const piece = this.#pieces[slot >>> BITS]
    return piece === undefined ? undefined : piece[slot & MASK]
  }

  put(entry) {
    const number = entry.slot >>> BITS
    let piece = this.#pieces[number]
    if (piece === undefined) {
      while (this.#pieces.length < number) this.#pieces.push(undefined)
      piece = this.#pieces[number] = new Array(MASK + 1).fill(undefined)
    }
    piece[entry.slot & MASK] = entry
  }

  /** Takes an entry out, unless its slot is another's by now. */
  remove(entry) {
    const piece = this.#pieces[entry.slot >>> BITS]
    if (piece !== undefined && piece[entry.slot & MASK] === entry) piece[entry.slot & MASK] = undefined
  }
}

module.exports = { SlotIndex }
