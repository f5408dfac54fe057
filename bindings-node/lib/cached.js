'use strict'

// Functions and methods whose results are cached.

const { types } = require('node:util')

const { CacheService } = require('./cache.js')
const { callKey, escapedName, wrong } = require('./arguments.js')
const { template } = require('./template.js')
const { caching, listedTags } = require('./options.js')
const { Fetched, valueOf } = require('./fetched.js')
const { REMEMBERS } = require('./load.js')
const { Owner } = require('./owner.js')

function cached(cache, options, fn) {
  if (typeof fn !== 'function') throw wrong(`fn must be a function, is ${fn === null ? 'null' : typeof fn}`)
  return remember(cache, options, fn, undefined)
}

function Cached(cache, options) {
  checkCache(cache)
  return function decorate(target, context, descriptor) {
    // TypeScript's experimentalDecorators: (prototype, name, descriptor).
    if (typeof context === 'string' || typeof context === 'symbol') {
      if (typeof descriptor?.value !== 'function') throw wrong('Cached decorates methods')
      descriptor.value = remember(cache, options, descriptor.value, Owner.known(target, context))
      return descriptor
    }
    // The standard: (method, context).
    if (context?.kind !== 'method') throw wrong('Cached decorates methods')
    const owner = new Owner(context.name)
    const method = remember(cache, options, target, owner)
    context.addInitializer?.(function () { owner.seen(this, method, context.static) })
    return method
  }
}

/** What a cached method of an object, or a static one of a class, has beside being called. */
Cached.of = function of(object, name) {
  const method = object?.[name]
  if (typeof method?.getKey !== 'function') throw wrong(`${String(name)} is no method that Cached decorates`)
  const on = (called) => (...args) => Reflect.apply(method[called], object, args)
  return { getKey: on('getKey'), getTags: on('getTags'), invalidate: on('invalidate'), refresh: on('refresh') }
}

/**
 * @param {CacheService} cache
 * @param {unknown} options
 * @param {Function} fn
 * @param {Owner | undefined} owner whose method it is
 */
function remember(cache, options, fn, owner) {
  checkCache(cache)
  if (types.isGeneratorFunction(fn)) {
    throw wrong('a generator function cannot be cached: what it gives can be taken once only; return an array instead')
  }
  const { key, name, ttl, codec, tags, unless, cacheErrors } = caching(options)
  if (unless !== undefined && typeof unless !== 'function') throw wrong(`unless must be a function of the result, is ${typeof unless}`)
  const tagsOf = tagMaker(tags)
  const remembers = errorMatcher(cacheErrors)
  // A ttl alone has the shorter way.
  const fixed = typeof ttl !== 'function' && tagsOf === undefined
  const storing = codec === undefined && typeof ttl !== 'object' ? ttl : { ttl, codec }

  const wrapper = function (...args) {
    return attempt(() => load(this, args))
  }
  const keyOf = keyMaker(cache, { key, name }, fn, (self) => (owner === undefined ? fn.name : owner.nameOf(self, wrapper)))

  function load(self, args, before) {
    const made = keyOf(self, args)
    const how = fixed ? storing : { ttl: typeof ttl === 'function' ? Reflect.apply(ttl, self, args) : ttl, codec, tags: tagsOf?.(self, args) }
    const fetch = () => {
      const result = Reflect.apply(fn, self, args)
      if (unless === undefined) return result
      return typeof result?.then === 'function' ? result.then(sift) : sift(result)
    }
    if (remembers !== undefined) fetch[REMEMBERS] = remembers
    return before === undefined ? cache.getOrFetch(made, how, fetch) : before(made).then(() => cache.getOrFetch(made, how, fetch))
  }

  /** What is not kept is given to those who wait all the same. */
  function sift(result) {
    const value = valueOf(result)
    return unless(value) ? new Fetched(value, undefined, undefined, false) : result
  }

  /** What a function of the wrapper is asked about: the wrapper itself says nothing of whose method it is. */
  const subject = (self) => (self === wrapper || self === undefined ? owner?.itself : self)
  const own = {
    getKey(...args) { return keyOf(subject(this), args) },
    getTags(...args) { return tagsOf === undefined ? [] : [...tagsOf(subject(this), args)] },
    invalidate(...args) { return attempt(() => cache.delete(keyOf(subject(this), args))) },
    refresh(...args) {
      return attempt(() => {
        const self = subject(this)
        if (owner !== undefined && self === undefined) throw wrong('refresh needs what the method is called on: Cached.of(object, name).refresh(…)')
        return load(self, args, (made) => cache.delete(made))
      })
    },
  }
  for (const [called, value] of Object.entries(own)) Object.defineProperty(wrapper, called, { value, configurable: true, writable: true })
  Object.defineProperty(wrapper, 'name', { value: fn.name, configurable: true })
  Object.defineProperty(wrapper, 'length', { value: fn.length, configurable: true })
  return wrapper
}

/** What is wrong with a call is told by its promise. */
function attempt(call) {
  try {
    return call()
  } catch (error) {
    return Promise.reject(error)
  }
}

/** Makes the key of a call of its `this` and arguments. */
function keyMaker(cache, { key, name }, fn, nameOf) {
  if (name !== undefined) {
    if (key !== undefined) throw wrong('name is for default keys: give either name or key')
    if (typeof name !== 'string') throw wrong(`name must be text, is ${name === null ? 'null' : typeof name}`)
    const escaped = escapedName(name)
    return (_, args) => callKey(escaped, args)
  }
  switch (typeof key) {
    case 'function': return (self, args) => Reflect.apply(key, self, args)
    case 'string': {
      const make = template(key, 'key')
      return (_, args) => make(args)
    }
    case 'undefined': return defaultKey(cache, fn, nameOf)
    default: throw wrong(`key must be a template or a function, is ${key === null ? 'null' : typeof key}`)
  }
}

/** Makes the tags of a call of its `this` and arguments; undefined where it has none. */
function tagMaker(tags) {
  if (tags === undefined || tags === null) return undefined
  if (typeof tags === 'function') return (self, args) => Reflect.apply(tags, self, args)
  const makers = listedTags(tags, 'cached').map((text) => {
    if (typeof text !== 'string') throw wrong(`tags must be templates or a function, one is a ${typeof text}`)
    return template(text, 'tags')
  })
  return (_, args) => makers.map((make) => make(args))
}

const isErrorClass = (value) => typeof value === 'function' && (value === Error || value.prototype instanceof Error)

/** Says which errors are remembered; undefined where none are. */
function errorMatcher(errors) {
  if (errors === undefined || errors === null) return undefined
  const classes = Array.isArray(errors) ? errors : [errors]
  if (classes.every(isErrorClass)) return (error) => classes.some((each) => error instanceof each)
  if (typeof errors !== 'function') throw wrong('cacheErrors must be classes of errors, or a function of an error')
  return errors
}

/** Keys of the function's name and its arguments. */
function defaultKey(cache, fn, nameOf) {
  if (fn.name === '') throw wrong('key must be given, or name, for a function without a name')
  let known
  let escaped
  return (self, args) => {
    const name = nameOf(self)
    if (name !== known) {
      claim(cache, name, fn)
      escaped = escapedName(name)
      known = name
    }
    return callKey(escaped, args)
  }
}

/** @type {WeakMap<CacheService, Map<string, Function>>} whose default keys a cache has */
const named = new WeakMap()

/** Refuses a second function of the same name: it would be answered with the results of the first. */
function claim(cache, name, fn) {
  let functions = named.get(cache)
  if (functions === undefined) named.set(cache, functions = new Map())
  const first = functions.get(name)
  if (first === undefined) functions.set(name, fn)
  else if (first !== fn) throw wrong(`key must be given, or name: this cache has another function with the name ${JSON.stringify(name)}`)
}

function checkCache(cache) {
  if (!(cache instanceof CacheService)) throw wrong('cache must be a CacheService')
}

module.exports = { cached, Cached }
