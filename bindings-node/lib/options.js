'use strict'

// Options on their way to the core, which knows their names, limits and defaults.

const { types } = require('node:util')

const { InvalidOption } = require('./errors.js')

/**
 * The options of a cache as the core's JSON. Names may be written as in JavaScript (maxStaleness) or as in every other
 * language (max_staleness).
 * @param {unknown} url
 * @param {unknown} prefix
 * @param {object} options
 */
function openingJson(url, prefix, options) {
  const given = new Map()
  // What the caller wrote out comes before what a shared configuration says.
  if (url !== undefined) given.set('url', typeof url?.href === 'string' ? url.href : url)
  if (prefix !== undefined) given.set('prefix', prefix)
  return optionsJson(options, given, 'open')
}

/**
 * The same for what is opened by another operation.
 * @param {unknown} options
 * @param {Map<string, unknown>} given by the names of the core; they come before those of the options
 * @param {string} operation
 */
function optionsJson(options, given, operation) {
  if (!isRecord(options)) throw new InvalidOption(`options must be an object, are ${typeName(options)}`, { operation })
  const fields = new Map()
  for (const [name, value] of Object.entries(options)) {
    const common = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    if (value === undefined) continue
    if (fields.has(common)) throw new InvalidOption(`${common} is given twice`, { operation })
    fields.set(common, sayable(value))
  }
  for (const [name, value] of given) fields.set(name, sayable(value))
  return JSON.stringify(Object.fromEntries(fields))
}

/** A value as JSON can say it; what it cannot is told by its name, which the core refuses as no number. */
function sayable(value) {
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value)
  if (typeof value === 'bigint') return Number(value)
  if (types.isUint8Array(value)) return Buffer.from(value).toString()
  return typeof value === 'function' || typeof value === 'symbol' ? `a ${typeof value}` : value
}

/**
 * The options of a write: a ttl in seconds, or an object with `ttl`, `codec` and `tags`. Whether they are right is for
 * the core to say.
 * @param {unknown} options
 * @param {string} operation
 * @returns {{ ttl: unknown, codec: unknown, tags: unknown[] | undefined }}
 */
function storing(options, operation) {
  if (typeof options !== 'object' || options === null) return { ttl: options, codec: undefined, tags: undefined }
  if (!isRecord(options)) throw new InvalidOption(`ttl must be a number of seconds, is ${typeName(options)}`, { operation })
  check(options, STORING, operation)
  const { ttl, codec, tags } = options
  return { ttl, codec, tags: tags === undefined || tags === null ? undefined : listedTags(tags, operation) }
}

/** Tags as an array. What is in it is for the core to look at. */
function listedTags(tags, operation) {
  if (Array.isArray(tags)) return tags
  if (typeof tags === 'object' && tags !== null && typeof tags[Symbol.iterator] === 'function' && !types.isUint8Array(tags)) {
    return [...tags]
  }
  throw new InvalidOption(`tags must be an array or another iterable of strings, is ${typeName(tags)}`, { operation })
}

/** The options of fetched. */
function fetchedOptions(options) {
  const operation = 'fetched'
  if (!isRecord(options)) throw new InvalidOption(`options must be an object, are ${typeName(options)}`, { operation })
  check(options, FETCHED, operation)
  const { ttl, tags } = storing(options, operation)
  return { ttl, tags }
}

const STORING = new Set(['ttl', 'codec', 'tags'])
const FETCHED = new Set(['ttl', 'tags'])
const FETCHING = new Set(['signal', 'codec', 'tags'])
const CACHED = new Set(['key', 'ttl', 'codec', 'tags'])

/** Whether an object says what it says by its properties: not a Date, a Map or a boxed number. */
function isRecord(value) {
  return typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object Object]'
}

function typeName(value) {
  if (typeof value !== 'object') return `a ${typeof value}`
  return value === null ? 'null' : `of type ${Object.prototype.toString.call(value).slice(8, -1)}`
}

/** Refuses names that are no option. */
function check(options, names, operation) {
  for (const name of Object.keys(options)) {
    if (!names.has(name)) throw new InvalidOption(`${JSON.stringify(name.slice(0, 64))} is not an option`, { operation })
  }
}

/** The last argument of getOrFetch. */
function fetching(options, operation) {
  if (options === undefined) return {}
  if (!isRecord(options)) throw new InvalidOption(`options must be an object, are ${typeName(options)}`, { operation })
  check(options, FETCHING, operation)
  const { signal, codec, tags } = options
  return { signal, codec, tags: tags === undefined || tags === null ? undefined : listedTags(tags, operation) }
}

/** The options of cached: a ttl in seconds, or an object. */
function caching(options) {
  if (typeof options !== 'object' || options === null) return { ttl: options, codec: undefined, key: undefined, tags: undefined }
  if (!isRecord(options)) throw new InvalidOption(`ttl must be a number of seconds, is ${typeName(options)}`, { operation: 'cached' })
  check(options, CACHED, 'cached')
  return options
}

function checkFetch(fetch, operation) {
  if (typeof fetch !== 'function') {
    throw new InvalidOption(`fetch must be a function, is ${typeName(fetch)}`, { operation })
  }
}

module.exports = { openingJson, optionsJson, storing, fetching, caching, fetchedOptions, listedTags, checkFetch, isRecord, typeName, check }
