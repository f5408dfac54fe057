'use strict'

// Functions and methods whose results are cached.

const native = require('./native.js')
const { CacheService } = require('./cache.js')
const { errorOf, InvalidOption } = require('./errors.js')
const { canonical } = require('./canonical.js')
const { caching, listedTags } = require('./options.js')

function cached(cache, options, fn) {
  if (typeof fn !== 'function') throw wrong(`fn must be a function, is ${fn === null ? 'null' : typeof fn}`)
  return remember(cache, options, fn, () => fn.name)
}

function Cached(cache, options) {
  const method = (fn, name) => remember(cache, options, fn, (self) => `${classOf(self)}.${String(name)}`)
  checkCache(cache)
  return function decorate(target, context, descriptor) {
    // TypeScript's experimentalDecorators: (prototype, name, descriptor).
    if (typeof context === 'string' || typeof context === 'symbol') {
      if (typeof descriptor?.value !== 'function') throw wrong('Cached decorates methods')
      descriptor.value = method(descriptor.value, context)
      return descriptor
    }
    // The standard: (method, context).
    if (context?.kind !== 'method') throw wrong('Cached decorates methods')
    return method(target, context.name)
  }
}

/** The class of what a method is called on. */
function classOf(self) {
  if (typeof self === 'function') return self.name
  return self?.constructor?.name ?? ''
}

function remember(cache, options, fn, nameOf) {
  checkCache(cache)
  const { key, ttl, codec, tags } = caching(options)
  const tagsOf = tagMaker(tags)
  const keyOf = keyMaker(cache, key, fn, nameOf)
  // A ttl alone has the shorter way.
  const storing = codec === undefined && typeof ttl !== 'object' ? ttl : { ttl, codec }
  const wrapper = function (...args) {
    let made
    let how = storing
    try {
      made = keyOf(this, args)
      if (tagsOf !== undefined) how = { ttl, codec, tags: tagsOf(this, args) }
    } catch (error) {
      return Promise.reject(error)
    }
    return cache.getOrFetch(made, how, () => Reflect.apply(fn, this, args))
  }
  Object.defineProperty(wrapper, 'name', { value: fn.name, configurable: true })
  Object.defineProperty(wrapper, 'length', { value: fn.length, configurable: true })
  return wrapper
}

/** Makes the key of a call of its `this` and arguments. */
function keyMaker(cache, key, fn, nameOf) {
  switch (typeof key) {
    case 'function': return (self, args) => Reflect.apply(key, self, args)
    case 'string': return templateText(key, 'key')
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
    return templateText(text, 'tags')
  })
  return (self, args) => makers.map((make) => make(self, args))
}

/** Keys and tags like "user:{0}" or "page:{lang}:{path}". */
function templateText(text, what) {
  if (!text.isWellFormed()) throw wrong(`${what} has a surrogate that is not one of a pair`)
  const template = checked(native.parse_template(text, what === 'tags'))
  const names = native.template_names(template)
  return (_, args) => checked(native.render_template(template, names.map((name) => argument(args, name))))
}

/** The argument that a placeholder names: by its position, or as a field of the only one. */
function argument(args, name) {
  const value = /^\d+$/.test(name) ? args[Number(name)] : args.length === 1 ? args[0]?.[name] : undefined
  return typeof value === 'bigint' ? `${value}` : value
}

/** Keys of the function's name and its arguments. */
function defaultKey(cache, fn, nameOf) {
  if (fn.name === '') throw wrong('key must be given for a function without a name')
  return (self, args) => {
    const name = nameOf(self)
    claim(cache, name, fn)
    return native.default_key(name, canonical(args))
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
  else if (first !== fn) throw wrong(`key must be given: this cache has another function with the name ${JSON.stringify(name)}`)
}

function checkCache(cache) {
  if (!(cache instanceof CacheService)) throw wrong('cache must be a CacheService')
}

function checked(answer) {
  if (Array.isArray(answer)) throw errorOf(answer)
  return answer
}

function wrong(message) {
  return new InvalidOption(message, { operation: 'cached' })
}

module.exports = { cached, Cached }
