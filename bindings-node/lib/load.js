'use strict'

// getOrFetch: from the first look to the value that a fetch brought.

const { setImmediate } = require('node:timers')

const native = require('./native.js')
const runtime = require('./runtime.js')
const leases = require('./leases.js')
const fetchErrors = require('./fetch-errors.js')
const { orAborted } = require('./abort.js')
const { NotFound, InvalidValue, messageOf } = require('./errors.js')
const { encode } = require('./encode.js')
const { decode, isStored, NONE } = require('./decode.js')
const { Fetched, valueOf } = require('./fetched.js')

const { LEAD, REFRESH, BYPASS, FAILED } = native

/** What a value says that says nothing of its storing. */
const PLAIN = { ttl: undefined, tags: undefined, keep: true }

/** The property of a fetch that says which of its errors are remembered. */
const REMEMBERS = Symbol('which errors are remembered')

/** What a fetch of one key throws to say that its lease goes back: that is no failure. */
const ABSENT = Symbol('the fetch left the key out')

/**
 * @typedef {object} Call a call of getOrFetch
 * @property {unknown} cache the addon's handle
 * @property {import('./copies.js').Copies} copies
 * @property {import('./checked.js').Checked} checked
 * @property {Set<AbortController>} refreshes what runs behind, to be ended by close
 * @property {string | Uint8Array} key
 * @property {number | undefined} ttl
 * @property {string | undefined} codec
 * @property {unknown[] | undefined} tags
 * @property {(context: FetchContext) => unknown} fetch
 * @property {AbortSignal | undefined} signal the caller's
 */

/** What a fetch is given. */
class FetchContext {
  #signal

  constructor(signal) {
    this.#signal = signal
  }

  /** Aborts when the caller gives up. Made when it is asked for, because most fetches do not. */
  get signal() {
    return this.#signal ??= new AbortController().signal
  }
}

/**
 * Answers a call. A hit in memory takes no further step: its promise is resolved already.
 * @param {Call} call
 * @returns {Promise<unknown>}
 */
function load(call) {
  if (call.signal?.aborted) return Promise.reject(call.signal.reason)
  if (call.checked.has(call)) {
    const copy = call.copies.get(call.key)
    if (copy !== undefined) return Promise.resolve(copy)
  }
  const answer = begin(call, false)
  if (!Array.isArray(answer) || answer[0] !== FAILED) call.checked.note(call)
  if (isStored(answer)) {
    const value = decode(answer)
    if (value !== NONE) return Promise.resolve(call.copies.kept(call.key, value))
  }
  call.copies.sweep()
  return proceed(call, answer, false)
}

function begin(call, bypass) {
  return native.begin(call.cache, call.key, runtime.token(), call.ttl, call.codec, leases.held(), bypass, call.tags)
}

/** Loads past what is stored, which does not decode. */
function loadAgain(call) {
  return proceed(call, begin(call, true), true)
}

async function proceed(call, answer, bypass) {
  if (answer === null) answer = await runtime.answer(call.cache, runtime.take(1), call.signal)
  const status = Array.isArray(answer) ? answer[0] : undefined
  switch (status) {
    case FAILED: throw fetchErrors.thrownBy(answer)
    case LEAD: return lead(call, answer[1])
    case BYPASS: return unshared(call)
  }
  const [stored, lease] = status === REFRESH ? [answer[1], answer[2]] : [answer, undefined]
  const value = isStored(stored) ? decode(stored) : NONE
  if (value !== NONE) {
    if (lease !== undefined) refreshBehind(call, [lease], (behind) => lead(behind, lease, leases.apart([lease])))
    return value
  }
  native.note_undecodable(call.cache, call.key)
  // We were to refresh it anyhow; waiting for our own lease would be waiting for ever.
  if (lease !== undefined) return lead(call, lease)
  // Another caller of this key brings what this runtime cannot hold.
  if (bypass) return unshared(call)
  return loadAgain(call)
}

/** Runs the fetch for this caller alone. */
async function unshared(call) {
  return valueOf(await runFetch(call, leases.within([])))
}

/** Runs the fetch for a lease and answers the lease, in every way in which the fetch can end. */
async function lead(call, lease, fetching = leases.within([lease])) {
  let value
  try {
    value = await runFetch(call, fetching)
  } catch (error) {
    if (error === ABSENT || call.signal?.aborted) {
      native.abandon(call.cache, lease)
      throw error === ABSENT ? error : call.signal.reason
    }
    return failed(call, lease, error)
  } finally {
    fetching.ended = true
  }
  return fulfil(call, lease, value, 'get_or_fetch')
}

/** Runs the fetch, as part of `fetching`. When the caller's signal aborts it rejects at once. */
async function runFetch(call, fetching) {
  const context = new FetchContext(call.signal)
  const fetched = leases.run(fetching, () => call.fetch(context))
  return call.signal === undefined ? fetched : orAborted(Promise.resolve(fetched), call.signal)
}

/** Ends a lease with what its fetch brought, and gives the value. */
function fulfil(call, lease, brought, operation) {
  const value = valueOf(brought)
  const { ttl, tags, keep } = brought instanceof Fetched ? brought : PLAIN
  let encoded
  try {
    encoded = encode(operation, value)
  } catch (error) {
    return failed(call, lease, error, error instanceof InvalidValue ? 'InvalidValue' : 'FetchFailed')
  }
  const failure = native.fulfil(call.cache, lease, encoded, ttl, tags, !keep)
  if (failure !== undefined) throw fetchErrors.thrownBy(failure)
  return value
}

/** Ends a lease with the error of its fetch. A value past its ttl is given instead where there is one. */
function failed(call, lease, error, kind = error instanceof NotFound ? 'NotFound' : 'FetchFailed') {
  const number = kind === 'FetchFailed' ? fetchErrors.put(error) : 0
  let remembered = false
  let stale
  try {
    remembered = kind === 'FetchFailed' && Boolean(call.fetch[REMEMBERS]?.(error))
  } finally {
    // Whatever the predicate does, those that wait are told.
    if (remembered) native.fail_remembered(call.cache, lease, messageOf(error), number)
    else stale = native.fail(call.cache, lease, kind, messageOf(error), number)
    fetchErrors.sweep()
  }
  const value = stale === undefined ? NONE : decode(stale)
  if (value === NONE) throw error
  return value
}

/**
 * Runs `work` after the call that drew it has its value. Its failure was told to those that wait; there is nobody
 * else to tell.
 * @param {Call} call
 * @param {number[]} drawn the leases
 * @param {(behind: Call) => Promise<unknown>} work
 */
function refreshBehind(call, drawn, work) {
  const controller = new AbortController()
  call.refreshes.add(controller)
  setImmediate(() => {
    if (controller.signal.aborted) return drawn.forEach((lease) => native.abandon(call.cache, lease))
    const done = () => call.refreshes.delete(controller)
    work({ ...call, signal: controller.signal }).then(done, done)
  })
}

module.exports = { load, loadAgain, FetchContext, fulfil, failed, refreshBehind, ABSENT, REMEMBERS }
