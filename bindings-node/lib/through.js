'use strict'

// writeThrough: reads and writes of a source, through the cache.

const { types } = require('node:util')

const native = require('./native.js')
const runtime = require('./runtime.js')
const leases = require('./leases.js')
const fetchErrors = require('./fetch-errors.js')
const { checkSignal } = require('./abort.js')
const { encode } = require('./encode.js')
const { identity, listed } = require('./keys.js')
const { FetchContext } = require('./load.js')
const { InvalidOption, NotFound, PartialError, Unsupported } = require('./errors.js')
const { check, isRecord, listedTags, typeName } = require('./options.js')

const { LEAD } = native

const OPERATION = 'write_through'
const OPTIONS = new Set(['ttl', 'codec', 'tags', 'key', 'intentTtl', 'hold', 'strict'])
const CALL = new Set(['signal'])
const METHODS = ['load', 'loadMany', 'store', 'remove']

/** The options of writeThrough: a ttl in seconds, or an object. */
function binding(options) {
  if (typeof options !== 'object' || options === null) return { ttl: options ?? undefined }
  if (!isRecord(options)) throw wrong(`ttl must be a number of seconds, is ${typeName(options)}`)
  check(options, OPTIONS, OPERATION)
  const { tags, key, strict } = options
  if (key !== undefined && typeof key !== 'function') throw wrong(`key must be a function, is ${typeName(key)}`)
  if (strict !== undefined && typeof strict !== 'boolean') throw wrong(`strict must be true or false, is ${typeName(strict)}`)
  return { ...options, tags: tags === undefined || tags === null ? undefined : listedTags(tags, OPERATION) }
}

class WriteThrough {
  /** The addon's handle. */
  #cache
  #service
  #receipt
  #source
  #options
  #key

  /**
   * @param {import('./cache.js').CacheService} service
   * @param {unknown} cache the addon's handle
   * @param {(answer: unknown) => Promise<object>} receipt what became of a write
   */
  constructor(service, cache, receipt, source, options) {
    if ((typeof source !== 'object' && typeof source !== 'function') || source === null) {
      throw wrong(`source must be an object, is ${typeName(source)}`)
    }
    for (const name of METHODS) {
      const method = source[name]
      if (method !== undefined && typeof method !== 'function') {
        throw wrong(`${name} of the source must be a function, is ${typeName(method)}`)
      }
    }
    if (source.load === undefined && source.store === undefined) throw wrong('source must have a load or a store')
    this.#service = service
    this.#cache = cache
    this.#receipt = receipt
    this.#source = source
    this.#options = binding(options)
    this.#key = this.#options.key ?? ((id) => id)
  }

  get source() {
    return this.#source
  }

  async get(id, options) {
    const { signal } = calling(options)
    this.#needs('load')
    const { ttl, codec, tags } = this.#options
    try {
      return await this.#service.getOrFetch(this.#key(id), { ttl, codec, tags }, (context) => this.#source.load(id, context), { signal })
    } catch (error) {
      if (error instanceof NotFound) return undefined
      throw error
    }
  }

  async getMany(ids, options) {
    const { signal } = calling(options)
    if (this.#source.loadMany === undefined) this.#needs('load')
    const { ttl, codec, tags } = this.#options
    const named = new Map()
    for (const id of listed(ids, OPERATION)) named.set(identity(this.#key(id)), id)
    const idOf = (key) => named.get(identity(key))
    const byId = (values) => new Map([...values].map(([key, value]) => [idOf(key), value]))
    const load = async (missing, context) => this.#loadMany(missing, idOf, context)
    try {
      return byId(await this.#service.getOrFetchMany([...named.values()].map((id) => this.#key(id)), { ttl, codec, tags }, load, { signal }))
    } catch (error) {
      if (error instanceof PartialError) throw new PartialError(byId(error.failed), byId(error.values))
      throw error
    }
  }

  /** The values of keys, by their keys. */
  async #loadMany(missing, idOf, context) {
    const values = new Map()
    if (this.#source.loadMany !== undefined) {
      const loaded = await this.#source.loadMany(missing.map(idOf), context)
      const isMap = types.isMap(loaded)
      if (!isMap && (typeof loaded !== 'object' || loaded === null)) {
        throw wrong(`loadMany must bring a Map or an object, brought ${typeName(loaded)}`)
      }
      for (const key of missing) {
        const id = idOf(key)
        const value = isMap ? loaded.get(id) : Object.hasOwn(loaded, id) ? loaded[id] : undefined
        if (value !== undefined) values.set(key, value)
      }
      return values
    }
    for (const key of missing) {
      try {
        values.set(key, await this.#source.load(idOf(key), context))
      } catch (error) {
        if (!(error instanceof NotFound)) throw error
      }
    }
    return values
  }

  async set(id, value, options) {
    const { signal } = calling(options)
    this.#needs('store')
    return this.#write(id, encode(OPERATION, value), signal, (context) => this.#source.store(id, value, context))
  }

  async delete(id, options) {
    const { signal } = calling(options)
    this.#needs('remove')
    return this.#write(id, undefined, signal, (context) => this.#source.remove(id, context))
  }

  async #write(id, encoded, signal, write) {
    signal?.throwIfAborted()
    const { ttl, codec, tags, intentTtl, hold, strict = false } = this.#options
    const put = [ttl, codec, tags]
    const how = [intentTtl, hold, strict, undefined]
    let begun = native.begin_store(this.#cache, this.#key(id), encoded, runtime.token(), put, how, leases.held())
    if (begun === null) begun = await runtime.answer(this.#cache, runtime.take(1), signal)
    if (begun[0] !== LEAD) throw fetchErrors.thrownBy(begun)
    const number = begun[1]
    const writing = leases.within([number])
    try {
      // Its end is waited for though the signal aborts: the next writer must not overtake it.
      await leases.run(writing, () => write(new FetchContext(signal)))
    } catch (error) {
      await this.#failed(number)
      throw error
    } finally {
      writing.ended = true
    }
    return this.#receipt(native.end_store(this.#cache, number, runtime.token()))
  }

  /** Ends a write that failed: the caller is to see that error, and no other. */
  async #failed(number) {
    try {
      await this.#receipt(native.end_update(this.#cache, number, runtime.token()))
    } catch {
      // Closed meanwhile.
    }
  }

  #needs(method) {
    if (this.#source[method] === undefined) throw new Unsupported(`the source has no ${method}`, { operation: OPERATION })
  }
}

/** The last argument of the calls. */
function calling(options) {
  if (options === undefined) return {}
  if (!isRecord(options)) throw wrong(`options must be an object, are ${typeName(options)}`)
  check(options, CALL, OPERATION)
  return { signal: checkSignal(options.signal, OPERATION) }
}

function wrong(message) {
  return new InvalidOption(message, { operation: OPERATION })
}

module.exports = { WriteThrough }
