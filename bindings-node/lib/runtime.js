'use strict'

// This environment (the main thread, or a worker) and its completion queue: who waits for which token, and who keeps
// values of which cache.

const native = require('./native.js')
const { onAbort } = require('./abort.js')
const fetchErrors = require('./fetch-errors.js')

const { MANY, FAILED } = native

/** How many completions are taken at once. When there are more, the addon calls again. */
const BATCH = 1024

/** Other runtimes that load addons of Node.js have no libuv, or only its names. */
const { uv, bun, deno } = process.versions
const isNode = uv !== undefined && bun === undefined && deno === undefined

const [host, firstError, memory] = native.start(drain, isNode)
fetchErrors.begin(host, firstError)

/** The memory for numbers on their way to the addon and back: see exchange.js. */
const exchange = new Int32Array(memory)
const doubles = new Float64Array(memory)

/**
 * @typedef {object} Waiter
 * @property {(answer: unknown) => void} deliver never throws
 * @property {() => void} [leave] undoes what waiting needed
 * @property {boolean} [idle] the process may end while it waits
 * @property {unknown} cache kept: a cache that nobody holds any more is closed
 */

/** @type {Map<number, Waiter>} by the token that they wait for */
const waiting = new Map()
let nextToken = 1

/** The token for the next call. `take` uses it up, when the call turns out to be pending. */
function token() {
  return nextToken
}

/** Uses up tokens, and gives the first of them. */
function take(count) {
  const first = nextToken
  nextToken += count
  return first
}

/** How many of them keep the process alive. */
let keeping = 0

/** Waits for a token, and keeps the process alive until it is answered, unless the waiter is idle. */
function expect(token, waiter) {
  if (!waiter.idle) {
    if (keeping === 0) native.keep_alive(host)
    keeping += 1
  }
  waiting.set(token, waiter)
}

/** Waits no longer. `let_go` is for the caller, once nobody keeps the process alive. */
function forget(token) {
  const waiter = waiting.get(token)
  if (waiting.delete(token) && !waiter.idle) keeping -= 1
  return waiter
}

/**
 * What is kept here for caches of the core, by the numbers that its wakes name. A cache that nobody holds any more goes.
 * @type {Map<number, WeakRef<import('./slot-map.js').SlotMap>>}
 */
const keepers = new Map()
const collected = new FinalizationRegistry((id) => keepers.delete(id))
let lastKeeper = 0

/** Enrols what is to be swept when the core wakes us for its cache; gives it its number. */
function enrol(keeper) {
  lastKeeper += 1
  keepers.set(lastKeeper, new WeakRef(keeper))
  collected.register(keeper, lastKeeper)
  return lastKeeper
}

/** Runs on this thread when completions are there, or entries are gone. */
function drain() {
  complete()
  const gone = native.gone(host)
  if (gone !== undefined) for (const id of gone) keepers.get(id)?.deref()?.sweep()
}

function complete() {
  const batch = native.drain(host, BATCH)
  for (let index = 0; index < batch.length; index += 2) {
    const waiter = forget(batch[index])
    const answer = batch[index + 1]
    resolveErrors(answer)
    waiter.leave?.()
    waiter.deliver(answer)
  }
  // Only now: an answer of this batch may have named an error that was released meanwhile.
  fetchErrors.sweep()
  if (keeping === 0) native.let_go(host)
}

/** Puts the error objects of fetches into an answer, while they are still in their table. */
function resolveErrors(answer) {
  if (!Array.isArray(answer)) return
  if (answer[0] === FAILED) answer.error = fetchErrors.get(answer[6])
  else if (answer[0] === MANY) answer[1].forEach(resolveErrors)
}

/**
 * The answer for a token. When `signal` aborts first, it rejects with the signal's reason and the token is given back.
 * @param {unknown} cache
 * @param {number} token
 * @param {AbortSignal} [signal]
 * @param {boolean} [idle] whether the process may end while this waits
 * @returns {Promise<unknown>}
 */
function answer(cache, token, signal, idle) {
  return new Promise((resolve, reject) => {
    if (signal === undefined) return expect(token, { deliver: resolve, idle, cache })
    const give = () => {
      withdraw(token)
      reject(signal.reason)
    }
    if (signal.aborted) return give()
    expect(token, { deliver: resolve, leave: onAbort(signal, give), idle, cache })
  })
}

/**
 * Gives a token back: nobody waits for it any more. A lead that was on its way goes to the next one.
 *
 * Completions are delivered as soon as they are drained, so what the queue has delivered is not here any more: when it
 * cannot take a token back, nothing will come for it.
 */
function withdraw(token) {
  native.cancel(host, token)
  const waiter = forget(token)
  waiter?.leave?.()
  if (waiter !== undefined && keeping === 0) native.let_go(host)
}

module.exports = { host, exchange, doubles, enrol, token, take, answer, withdraw }
