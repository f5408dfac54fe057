'use strict'

// One class for each kind of error. The kinds, their numbers and what is retryable come from the core.

const native = require('./native.js')

const kinds = new Map(native.kinds().map(([errno, name, retryable]) => [name, { errno, retryable }]))

class ScrubjayError extends Error {
  /**
   * @param {string} message what is wrong, without operation and kind
   * @param {{ operation?: string, cause?: unknown }} [options]
   */
  constructor(message, options = {}) {
    const code = new.target.code
    if (!kinds.has(code)) throw new TypeError('ScrubjayError is abstract: use one of its subclasses')
    const operation = options.operation ?? 'get_or_fetch'
    super(`${operation}: ${code}: ${message}`, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.errno = kinds.get(code).errno
    this.retryable = kinds.get(code).retryable
    this.operation = operation
  }

  /** The kind of this class; none for ScrubjayError itself. */
  static code = ''
}

class InvalidOption extends ScrubjayError { static code = 'InvalidOption' }
class InvalidKey extends ScrubjayError { static code = 'InvalidKey' }
class InvalidValue extends ScrubjayError { static code = 'InvalidValue' }
class FetchFailed extends ScrubjayError { static code = 'FetchFailed' }
class FetchTimeout extends ScrubjayError { static code = 'FetchTimeout' }
class LeaseExpired extends ScrubjayError { static code = 'LeaseExpired' }
class RecursiveFetch extends ScrubjayError { static code = 'RecursiveFetch' }
class Overloaded extends ScrubjayError { static code = 'Overloaded' }
class Closed extends ScrubjayError { static code = 'Closed' }
class Cancelled extends ScrubjayError { static code = 'Cancelled' }
class Unavailable extends ScrubjayError { static code = 'Unavailable' }
class DirtyElsewhere extends ScrubjayError { static code = 'DirtyElsewhere' }
class Unsupported extends ScrubjayError { static code = 'Unsupported' }
class Internal extends ScrubjayError { static code = 'Internal' }

class NotFound extends ScrubjayError {
  static code = 'NotFound'

  constructor(message = 'not found', options = {}) {
    super(message, options)
  }
}

class PartialError extends ScrubjayError {
  static code = 'Partial'

  /**
   * @param {Map<unknown, unknown>} failed key → error
   * @param {Map<unknown, unknown>} values key → value
   * @param {{ operation?: string }} [options]
   */
  constructor(failed, values, options = {}) {
    super(`${failed.size} of ${failed.size + values.size} keys failed`, { operation: 'get_or_fetch_many', ...options })
    this.failed = failed
    this.values = values
  }
}

const classes = {
  InvalidOption, InvalidKey, InvalidValue, NotFound, FetchFailed, FetchTimeout, LeaseExpired, RecursiveFetch,
  Overloaded, Closed, Cancelled, Unavailable, DirtyElsewhere, Unsupported, Internal,
}

// The name that a stack trace shows, as with the errors of the language: not enumerable, on the prototype.
for (const Class of [ScrubjayError, PartialError, ...Object.values(classes)]) {
  Object.defineProperty(Class.prototype, 'name', { value: Class.name, writable: true, configurable: true })
}

/** The error of a failure as the addon describes it. */
function errorOf([, , name, operation, message]) {
  const Class = classes[name] ?? Internal
  return new Class(message, { operation })
}

/** The message of an error without its operation and kind, for callers that get an error of their own. */
function messageOf(error) {
  if (error instanceof ScrubjayError) return error.message.slice(`${error.operation}: ${error.code}: `.length)
  try {
    return String(error instanceof Error ? error.message : error)
  } catch {
    return 'the fetch threw an object without a text'
  }
}

module.exports = { ScrubjayError, PartialError, ...classes, classes, errorOf, messageOf }
