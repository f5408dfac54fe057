'use strict'

// Keys and tags like "user:{0}", "page:{lang}:{path}" or "city:{user.address.city}".

const { types } = require('node:util')

const native = require('./native.js')
const { errorOf } = require('./errors.js')
const { wrong } = require('./arguments.js')

/**
 * What makes a text of the arguments of a call.
 * @param {string} text
 * @param {'key' | 'tags'} what
 * @returns {(args: unknown[]) => string}
 */
function template(text, what) {
  if (!text.isWellFormed()) throw wrong(`${what} has a surrogate that is not one of a pair`)
  const parsed = checked(native.parse_template(text, what === 'tags'))
  const paths = native.template_paths(parsed)
  return (args) => checked(native.render_template(parsed, paths.map((path) => standing(found(args, path)))))
}

/** What a placeholder names: an argument by its position, or a field of the only one; and the way into it. */
function found(args, [first, ...rest]) {
  let value = typeof first === 'number' ? args[first] : args.length === 1 ? step(args[0], first) : undefined
  for (const part of rest) value = step(value, part)
  return value
}

function step(value, part) {
  if (value === undefined || value === null) return undefined
  if (types.isMap(value)) return value.get(String(part))
  return value[part]
}

/** A value as it stands in a template: text for what has one that tells its values apart. */
function standing(value) {
  if (typeof value === 'bigint') return `${value}`
  if (typeof value !== 'object' || value === null) return value
  if (types.isDate(value)) return Number.isNaN(value.getTime()) ? undefined : value.toISOString()
  return value instanceof URL ? value.href : value
}

function checked(answer) {
  if (Array.isArray(answer)) throw errorOf(answer)
  return answer
}

module.exports = { template }
