'use strict'

// update: a write to the source of a cache, between an intent and an invalidation.

const native = require('./native.js')
const runtime = require('./runtime.js')
const fetchErrors = require('./fetch-errors.js')
const { checkSignal } = require('./abort.js')
const { FetchContext } = require('./load.js')
const { listed } = require('./keys.js')
const { InvalidOption } = require('./errors.js')
const { check, isRecord, listedTags, typeName } = require('./options.js')

const { LEAD } = native

const UPDATING = new Set(['intentTtl', 'hold', 'strict', 'signal', 'tags'])

/** The last argument of update, checked. */
function updating(options) {
  if (options === undefined) return { how: [] }
  if (!isRecord(options)) throw wrong(`options must be an object, are ${typeName(options)}`)
  check(options, UPDATING, 'update')
  const { intentTtl, hold, strict = false, signal, tags } = options
  if (typeof strict !== 'boolean') throw wrong(`strict must be true or false, is ${typeName(strict)}`)
  const named = tags === undefined || tags === null ? undefined : listedTags(tags, 'update')
  return { how: [intentTtl, hold, strict, named], signal: checkSignal(signal, 'update') }
}

/**
 * @param {unknown} cache the addon's handle
 * @param {(answer: unknown) => Promise<object>} receipt what became of a write
 */
async function update(cache, receipt, keys, write, options) {
  const { how, signal } = updating(options)
  if (typeof write !== 'function') throw wrong(`write must be a function, is ${typeName(write)}`)
  const names = listed(keys, 'update')
  signal?.throwIfAborted()
  let begun = native.begin_update(cache, names, runtime.token(), how)
  if (begun === null) begun = await runtime.answer(cache, runtime.take(1), signal)
  if (begun[0] !== LEAD) throw fetchErrors.thrownBy(begun)
  const number = begun[1]
  let value
  try {
    // Its end is waited for though the signal aborts: what it writes after the invalidation would be missed by that.
    value = await write(new FetchContext(signal))
  } catch (error) {
    await failed(cache, receipt, number)
    throw error
  }
  return { value, receipt: await receipt(native.end_update(cache, number, runtime.token())) }
}

/** Ends the update of a write that failed: the caller is to see that error, and no other. */
async function failed(cache, receipt, number) {
  try {
    await receipt(native.end_update(cache, number, runtime.token()))
  } catch {
    // Closed meanwhile.
  }
}

function wrong(message) {
  return new InvalidOption(message, { operation: 'update' })
}

module.exports = { update }
