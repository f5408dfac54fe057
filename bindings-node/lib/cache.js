'use strict'

const native = require('./native.js')
const runtime = require('./runtime.js')
const fetchErrors = require('./fetch-errors.js')
const { checkSignal } = require('./abort.js')
const { encode } = require('./encode.js')
const { decode, isStored, NONE } = require('./decode.js')
const { listed, oneOrMore, entriesOf } = require('./keys.js')
const { Checked } = require('./checked.js')
const { Copies } = require('./copies.js')
const { load } = require('./load.js')
const { loadMany } = require('./load-many.js')
const { update } = require('./update.js')
const { WriteBehind } = require('./write-behind.js')
const { WriteThrough } = require('./through.js')
const { openingJson, storing, fetching, checkFetch, listedTags } = require('./options.js')

const { DONE, FAILED } = native

class CacheService {
  /** The addon's handle. */
  #cache
  /** @type {Copies} */
  #copies
  #checked = new Checked()
  /** What refreshes values behind their readers, to be ended by close. @type {Set<AbortController>} */
  #refreshes = new Set()
  /** What close came to. @type {Promise<object> | undefined} */
  #closed

  constructor(url = undefined, prefix = undefined, options = {}) {
    const opened = native.open(runtime.host, openingJson(url, prefix, options))
    if (Array.isArray(opened)) throw fetchErrors.thrownBy(opened)
    this.#cache = opened
    this.#copies = new Copies(opened)
  }

  get(key) {
    const copy = this.#copies.get(key)
    if (copy !== undefined) return Promise.resolve(copy)
    const answer = native.get(this.#cache, key, runtime.token())
    if (answer === undefined) return Promise.resolve(undefined)
    if (isStored(answer)) {
      const value = decode(answer)
      if (value !== NONE) return Promise.resolve(this.#copies.kept(key, value))
    }
    return this.#read(key, answer)
  }

  async #read(key, answer) {
    return this.#valueOf(key, answer === null ? await runtime.answer(this.#cache, runtime.take(1)) : answer)
  }

  getSync(key) {
    const copy = this.#copies.get(key)
    if (copy !== undefined) return copy
    const answer = native.peek(this.#cache, key)
    if (answer === undefined) return undefined
    const value = this.#valueOf(key, answer)
    return value === undefined ? undefined : this.#copies.kept(key, value)
  }

  /** The value of an answer to a read; undefined for a miss. */
  #valueOf(key, answer) {
    if (answer === undefined) return undefined
    if (!isStored(answer)) throw fetchErrors.thrownBy(answer)
    const value = decode(answer)
    if (value !== NONE) return value
    native.note_undecodable(this.#cache, key)
    return undefined
  }

  async set(key, value, options) {
    const { ttl, codec, tags } = storing(options, 'set')
    const encoded = encode('set', value)
    return this.#receipt(native.set(this.#cache, key, encoded, ttl, codec, runtime.token(), tags))
  }

  async delete(key) {
    return this.#receipt(native.remove(this.#cache, key, runtime.token()))
  }

  async invalidateTags(tags) {
    return this.#receipt(native.invalidate_tags(this.#cache, listedTags(tags, 'invalidate_tags'), runtime.token()))
  }

  async clear() {
    return this.#receipt(native.clear(this.#cache, runtime.token()))
  }

  async getMany(keys) {
    const asked = listed(keys, 'get_many')
    const values = asked.map((key) => this.#copies.get(key))
    const missing = asked.filter((_, index) => values[index] === undefined)
    // No keys at all are the core's to answer: the cache may be closed.
    const read = missing.length > 0 || asked.length === 0 ? await this.#readMany(missing) : []
    const found = new Map()
    let next = 0
    asked.forEach((key, index) => {
      const value = values[index] === undefined ? read[next++] : values[index]
      if (value !== undefined) found.set(key, value)
    })
    return found
  }

  /** The values of keys of which there are no copies; undefined for misses. */
  async #readMany(keys) {
    let answer = native.get_many(this.#cache, keys, runtime.token())
    if (answer === null) answer = await runtime.answer(this.#cache, runtime.take(1))
    if (answer[0] === FAILED) throw fetchErrors.thrownBy(answer)
    const [, answers, grants] = answer
    const values = answers.map((item, index) => this.#valueOf(keys[index], item))
    this.#copies.keptMany(keys, values, grants)
    return values
  }

  async setMany(entries, options) {
    const { ttl, codec, tags } = storing(options, 'set_many')
    const pairs = entriesOf(entries, 'set_many')
    const keys = pairs.map(([key]) => key)
    const values = pairs.map(([, value]) => encode('set_many', value))
    return this.#receipt(native.set_many(this.#cache, keys, values, ttl, codec, runtime.token(), tags))
  }

  async deleteMany(keys) {
    return this.#receipt(native.remove_many(this.#cache, listed(keys, 'delete_many'), runtime.token()))
  }

  async update(keys, write, options) {
    return update(this.#cache, (answer) => this.#receipt(answer), keys, write, options)
  }

  writeThrough(source, options) {
    return new WriteThrough(this, this.#cache, (answer) => this.#receipt(answer), source, options)
  }

  writeBehind(name, writer, options) {
    return new WriteBehind(this.#cache, name, writer, options)
  }

  async explain(key) {
    let answer = native.explain(this.#cache, key, runtime.token())
    if (answer === null) answer = await runtime.answer(this.#cache, runtime.take(1))
    if (!isStored(answer)) throw fetchErrors.thrownBy(answer)
    return decode(answer)
  }

  getOrFetch(key, options, fetch, more) {
    // The way of most calls: nothing is to be checked that was not checked before.
    if (more === undefined && typeof fetch === 'function' && this.#checked.hasTtl(options)) {
      const copy = this.#copies.get(key)
      if (copy !== undefined) return Promise.resolve(copy)
    }
    try {
      return load(this.#call(key, options, fetch, more, 'get_or_fetch'))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async getOrFetchMany(keys, options, fetch, more) {
    const call = this.#call(undefined, options, fetch, more, 'get_or_fetch_many')
    return loadMany({ ...call, keys: listed(keys, 'get_or_fetch_many') })
  }

  #call(key, options, fetch, more, operation) {
    checkFetch(fetch, operation)
    const { ttl, codec, tags } = storing(options, operation)
    const { signal, codec: ownCodec = codec, tags: ownTags = tags } = fetching(more, operation)
    return {
      cache: this.#cache,
      copies: this.#copies,
      checked: this.#checked,
      refreshes: this.#refreshes,
      key,
      ttl,
      codec: ownCodec,
      tags: ownTags,
      fetch,
      signal: checkSignal(signal, operation),
    }
  }

  stats() {
    this.#copies.report()
    return JSON.parse(native.stats(this.#cache))
  }

  effectiveStalenessBound() {
    return native.effective_staleness_bound(this.#cache)
  }

  observe(token, keys) {
    const failure = native.observe(this.#cache, token, oneOrMore(keys, 'observe'))
    if (failure !== undefined) throw fetchErrors.thrownBy(failure)
  }

  close() {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close() {
    for (const controller of this.#refreshes) controller.abort()
    this.#copies.close()
    return this.#receipt(native.close(this.#cache, runtime.token()))
  }

  /** What became of a write, once that is known. */
  async #receipt(answer) {
    this.#copies.sweep()
    if (answer === null) answer = await runtime.answer(this.#cache, runtime.take(1))
    if (answer[0] === DONE) return { pending: answer[1], token: answer[2] }
    throw fetchErrors.thrownBy(answer)
  }
}

// Node 20 has the symbol; `await using` needs a later one, or TypeScript.
if (Symbol.asyncDispose !== undefined) {
  Object.defineProperty(CacheService.prototype, Symbol.asyncDispose, {
    value: async function () {
      await this.close()
    },
    writable: true,
    configurable: true,
  })
}

module.exports = { CacheService }
