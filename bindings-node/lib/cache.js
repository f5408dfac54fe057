'use strict'

const native = require('./native.js')
const runtime = require('./runtime.js')
const fetchErrors = require('./fetch-errors.js')
const { checkSignal } = require('./abort.js')
const { encode } = require('./encode.js')
const { decode, isStored, NONE } = require('./decode.js')
const { listed, entriesOf } = require('./keys.js')
const { load } = require('./load.js')
const { loadMany } = require('./load-many.js')
const { openingJson, storing, fetching, checkFetch } = require('./options.js')

const { DONE, FAILED } = native

class CacheService {
  /** The addon's handle. */
  #cache
  /** What refreshes values behind their readers, to be ended by close. @type {Set<AbortController>} */
  #refreshes = new Set()
  /** What close came to. @type {Promise<object> | undefined} */
  #closed

  constructor(url = undefined, prefix = undefined, options = {}) {
    const opened = native.open(runtime.host, openingJson(url, prefix, options))
    if (Array.isArray(opened)) throw fetchErrors.thrownBy(opened)
    this.#cache = opened
  }

  get(key) {
    const answer = native.get(this.#cache, key, runtime.token())
    if (typeof answer === 'string') {
      const value = decode(answer)
      if (value !== NONE) return Promise.resolve(value)
    }
    if (answer === undefined) return Promise.resolve(undefined)
    return this.#read(key, answer)
  }

  async #read(key, answer) {
    return this.#valueOf(key, answer === null ? await runtime.answer(this.#cache, runtime.take(1)) : answer)
  }

  getSync(key) {
    return this.#valueOf(key, native.peek(this.#cache, key))
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
    const { ttl, codec } = storing(options, 'set')
    const encoded = encode('set', value)
    return receipt(this.#cache, native.set(this.#cache, key, encoded, ttl, codec, runtime.token()))
  }

  async delete(key) {
    return receipt(this.#cache, native.remove(this.#cache, key, runtime.token()))
  }

  async clear() {
    return receipt(this.#cache, native.clear(this.#cache, runtime.token()))
  }

  async getMany(keys) {
    const asked = listed(keys, 'get_many')
    let answer = native.get_many(this.#cache, asked, runtime.token())
    if (answer === null) answer = await runtime.answer(this.#cache, runtime.take(1))
    if (answer[0] === FAILED) throw fetchErrors.thrownBy(answer)
    const found = new Map()
    answer[1].forEach((item, index) => {
      const value = this.#valueOf(asked[index], item)
      if (value !== undefined) found.set(asked[index], value)
    })
    return found
  }

  async setMany(entries, options) {
    const { ttl, codec } = storing(options, 'set_many')
    const pairs = entriesOf(entries, 'set_many')
    const keys = pairs.map(([key]) => key)
    const values = pairs.map(([, value]) => encode('set_many', value))
    return receipt(this.#cache, native.set_many(this.#cache, keys, values, ttl, codec, runtime.token()))
  }

  async deleteMany(keys) {
    return receipt(this.#cache, native.remove_many(this.#cache, listed(keys, 'delete_many'), runtime.token()))
  }

  getOrFetch(key, options, fetch, more) {
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
    const { ttl, codec } = storing(options, operation)
    const { signal, codec: ownCodec = codec } = fetching(more, operation)
    return {
      cache: this.#cache,
      refreshes: this.#refreshes,
      key,
      ttl,
      codec: ownCodec,
      fetch,
      signal: checkSignal(signal, operation),
    }
  }

  stats() {
    return JSON.parse(native.stats(this.#cache))
  }

  close() {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close() {
    for (const controller of this.#refreshes) controller.abort()
    return receipt(this.#cache, native.close(this.#cache, runtime.token()))
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

/** What became of a write, once that is known. */
async function receipt(cache, answer) {
  if (answer === null) answer = await runtime.answer(cache, runtime.take(1))
  if (answer[0] === DONE) return { pending: answer[1], token: answer[2] }
  throw fetchErrors.thrownBy(answer)
}

module.exports = { CacheService }
