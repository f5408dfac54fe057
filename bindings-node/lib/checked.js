'use strict'

// Arguments that the core has found right: a hit on a copy asks it no more, and is to refuse what the core would.

/** More different ttls than most programs have. */
const MOST = 64
/** The same for tags. */
const MOST_TAGS = 1024

class Checked {
  #last
  #ttls = new Set()
  #codecs = new Set()
  #tags = new Set()
  /** So many tags of one call were let pass. */
  #many = 0

  /** Notes what the core has let pass. */
  note({ ttl, codec, tags }) {
    if (typeof ttl === 'number' && this.#ttls.size < MOST) this.#ttls.add(ttl)
    if (typeof codec === 'string') this.#codecs.add(codec)
    if (tags === undefined) return
    for (const tag of tags) if (this.#tags.size < MOST_TAGS) this.#tags.add(tag)
    this.#many = Math.max(this.#many, tags.length)
  }

  /** Whether a ttl needs no check. */
  hasTtl(ttl) {
    if (ttl === undefined || ttl === null || ttl === this.#last) return true
    if (!this.#ttls.has(ttl)) return false
    this.#last = ttl
    return true
  }

  has({ ttl, codec, tags }) {
    return this.hasTtl(ttl) && (codec === undefined || codec === null || this.#codecs.has(codec)) && this.#hasTags(tags)
  }

  #hasTags(tags) {
    return tags === undefined || (tags.length <= this.#many && tags.every((tag) => this.#tags.has(tag)))
  }
}

module.exports = { Checked }
