'use strict'

// Callers that wait under an AbortSignal. However many share a signal, it gets one listener: Node warns of a leak at
// the eleventh.

const { InvalidOption } = require('./errors.js')

/** @type {WeakMap<AbortSignal, Set<() => void>>} */
const callbacks = new WeakMap()

/**
 * Calls `callback` when `signal` aborts.
 * @param {AbortSignal} signal one that is not aborted yet
 * @param {() => void} callback
 * @returns {() => void} takes the callback back
 */
function onAbort(signal, callback) {
  let set = callbacks.get(signal)
  if (set === undefined) {
    set = new Set()
    callbacks.set(signal, set)
  }
  if (set.size === 0) signal.addEventListener('abort', tell)
  set.add(callback)
  return () => {
    set.delete(callback)
    if (set.size === 0) signal.removeEventListener('abort', tell)
  }
}

function tell() {
  const set = callbacks.get(this)
  this.removeEventListener('abort', tell)
  for (const callback of [...set]) callback()
  set.clear()
}

/**
 * What a promise comes to, unless `signal` aborts first: then it rejects with the signal's reason, and what the
 * promise comes to is dropped.
 * @template T
 * @param {PromiseLike<T>} promise
 * @param {AbortSignal} signal
 * @returns {Promise<T>}
 */
function orAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason)
    const forget = signal.aborted ? () => {} : onAbort(signal, () => reject(signal.reason))
    promise.then(
      (value) => { forget(); resolve(value) },
      (error) => { forget(); reject(error) },
    )
  })
}

/** Refuses what is no signal. */
function checkSignal(signal, operation) {
  if (signal === undefined || signal instanceof AbortSignal) return signal
  if (typeof signal === 'object' && typeof signal?.aborted === 'boolean' && typeof signal.addEventListener === 'function') {
    return signal
  }
  throw new InvalidOption(`signal must be an AbortSignal, is ${signal === null ? 'null' : typeof signal}`, { operation })
}

module.exports = { onAbort, orAborted, checkSignal }
