'use strict'

// Running writers: what a worker of a write-behind does with the writes that it is handed.

const native = require('./native.js')
const runtime = require('./runtime.js')
const fetchErrors = require('./fetch-errors.js')
const { decode, NONE } = require('./decode.js')
const { Closed, InvalidOption, InvalidValue, Overloaded } = require('./errors.js')
const { typeName } = require('./options.js')

const { WRITES } = native
const KINDS = [undefined, 'set', 'delete', 'delta']

/** A write for the source, as its writer gets it. */
class Write {
  #stored
  #value

  constructor([number, process, sequence, key, kind, stored, attempt, enqueuedMs, error]) {
    Object.defineProperty(this, 'number', { value: number })
    this.kind = KINDS[kind]
    this.key = key.toString()
    this.keyBytes = key
    this.process = process
    this.sequence = sequence
    this.attempt = attempt
    this.enqueuedMs = enqueuedMs
    this.error = error
    this.#stored = stored
  }

  get id() {
    return `${this.process}-${this.sequence}`
  }

  get value() {
    if (this.#stored !== undefined) {
      this.#value = decode(this.#stored)
      this.#stored = undefined
    }
    if (this.#value === NONE) throw new InvalidValue('the value of the write does not decode', { operation: 'write_behind' })
    return this.#value
  }
}

/** What a writer throws, or returns an array of, for writes that failed. */
class Rejected extends Error {
  /**
   * @param {Write | Iterable<Write>} writes
   * @param {string} [message]
   * @param {{ permanent?: boolean, cause?: unknown }} [options]
   */
  constructor(writes, message = '', options = {}) {
    const all = writes instanceof Write ? [writes] : [...writes]
    super(message || `${all.length} writes were rejected`, 'cause' in options ? { cause: options.cause } : undefined)
    this.writes = all
    this.permanent = options.permanent === true
  }
}

Object.defineProperty(Rejected.prototype, 'name', { value: 'Rejected', writable: true, configurable: true })

/** The writes of an answer of the addon; none for a miss. */
function writesOf(answer) {
  if (answer === undefined) return []
  if (answer[0] !== WRITES) throw fetchErrors.thrownBy(answer)
  return answer[1].map((fields) => new Write(fields))
}

/**
 * The next batch.
 * @param {unknown} behind the addon's handle
 * @param {{ maxItems?: number, maxBytes?: number, linger?: number, wait?: number, signal?: AbortSignal }} how
 * @param {boolean} idle whether the process may end while this waits
 */
async function nextBatch(behind, { maxItems, maxBytes, linger, wait, signal }, idle) {
  signal?.throwIfAborted()
  let answer = native.behind_next(behind, runtime.token(), maxItems, maxBytes, linger, wait)
  if (answer === null) answer = await runtime.answer(behind, runtime.take(1), signal, idle)
  return writesOf(answer)
}

/** Brings writes to the source until the write-behind is closed, or `how.signal` aborts. */
async function work(behind, writer, how, idle) {
  for (;;) {
    let writes
    try {
      writes = await nextBatch(behind, how, idle)
    } catch (error) {
      if (error instanceof Closed) return
      throw error
    }
    if (writes.length === 0) continue
    let rejected
    try {
      rejected = rejections(await writer([...writes]))
    } catch (error) {
      failed(behind, writes, error)
      continue
    }
    answered(behind, writes, rejected)
  }
}

/** Makes a write for which there is no room. What the writer throws is thrown. */
async function writeThrough(behind, lease, writer) {
  const fields = native.behind_turn(behind, lease)
  if (fields === undefined) {
    throw new Overloaded('the time of the caller to write is over: see visibility', { operation: 'write_behind' })
  }
  let rejected
  try {
    rejected = rejections(await writer([new Write(fields)]))
  } catch (error) {
    native.behind_nack(behind, [lease], '', false)
    throw error
  }
  if (rejected.length > 0) {
    native.behind_nack(behind, [lease], '', false)
    throw rejected[0]
  }
  native.behind_ack(behind, [lease])
}

/** Tells that the source has the writes of a batch, but for those that were rejected. */
function answered(behind, writes, rejected) {
  const failures = rejected.flatMap((rejection) => rejection.writes.map(({ number }) => [number, rejection]))
  const without = new Set(failures.map(([number]) => number))
  native.behind_ack(behind, numbers(writes).filter((number) => !without.has(number)))
  for (const [number, rejection] of failures) native.behind_nack(behind, [number], rejection.message, rejection.permanent)
}

/** Tells what a writer threw. */
function failed(behind, writes, error) {
  if (error instanceof Rejected) answered(behind, writes, [error])
  else native.behind_nack(behind, numbers(writes), textOf(error), false)
}

/** What is kept of an error. */
function textOf(error) {
  try {
    return String(error)
  } catch {
    return 'the writer threw an object without a text'
  }
}

function rejections(outcome) {
  if (outcome === undefined || outcome === null) return []
  // Not anything: writes that somebody returned to have them tried again would be lost.
  if (Array.isArray(outcome) && outcome.every((rejection) => rejection instanceof Rejected)) return outcome
  throw new InvalidOption(`writer must return nothing or an array of Rejected, returned what is ${typeName(outcome)}`, { operation: 'write_behind' })
}

function numbers(writes) {
  return (writes instanceof Write ? [writes] : [...writes]).map(({ number }) => number)
}

module.exports = { Write, Rejected, writesOf, nextBatch, work, writeThrough, numbers }
