'use strict'

// Arguments that the core has found right: a hit on a copy asks it no more, and is to refuse what the core would.

/** More different ttls than most programs have. */
const MOST = 64

class Checked {
  #last
  #ttls = new Set()
  #codecs = new Set()

  /** Notes what the core has let pass. */
  note(ttl, codec) {
    if (typeof ttl === 'number' && this.#ttls.size < MOST) this.#ttls.add(ttl)
    if (typeof codec === 'string') this.#codecs.add(codec)
  }

  /** Whether a ttl needs no check. */
  hasTtl(ttl) {
    if (ttl === undefined || ttl === null || ttl === this.#last) return true
    if (!this.#ttls.has(ttl)) return false
    this.#last = ttl
    return true
  }

  has(ttl, codec) {
    return this.hasTtl(ttl) && (codec === undefined || codec === null || this.#codecs.has(codec))
  }
}

module.exports = { Checked }
