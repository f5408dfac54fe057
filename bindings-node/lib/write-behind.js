'use strict'

// Write-behind: the cache has a value at once, the source gets it a little later, from a worker.

const native = require('./native.js')
const runtime = require('./runtime.js')
const fetchErrors = require('./fetch-errors.js')
const { checkSignal } = require('./abort.js')
const { encode } = require('./encode.js')
const { InvalidOption, Closed } = require('./errors.js')
const { check, isRecord, optionsJson, storing, typeName } = require('./options.js')
const { nextBatch, numbers, work, writeThrough, writesOf } = require('./writer.js')

const { COUNT, DONE, DRAINED, LEAD } = native

const PULLING = new Set(['maxItems', 'maxBytes', 'linger', 'wait', 'signal'])
const WORKING = new Set(['maxItems', 'maxBytes', 'linger', 'signal'])

class WriteBehind {
  /** The addon's handle. */
  #behind
  #cache
  #writer
  /** The worker of this environment. @type {Promise<void> | undefined} */
  #worker
  #closed = false

  /**
   * @param {unknown} cache the addon's handle
   */
  constructor(cache, name, writer, options) {
    if (isRecord(writer) && options === undefined) [writer, options] = [undefined, writer]
    if (writer !== undefined) checkWriter(writer)
    const json = optionsJson(options ?? {}, new Map([['name', name]]), 'write_behind')
    if (writer === undefined && JSON.parse(json).on_full === 'write_through') {
      throw wrong('onFull: "write_through" needs the writer here: callers use it')
    }
    const opened = native.behind_open(cache, json)
    if (Array.isArray(opened)) throw fetchErrors.thrownBy(opened)
    this.#behind = opened
    this.#cache = cache
    this.#writer = writer
  }

  async set(key, value, options) {
    const { ttl, codec, tags } = storing(options, 'write_behind')
    const encoded = encode('write_behind', value)
    this.#start()
    return this.#written(native.behind_set(this.#behind, key, encoded, ttl, codec, runtime.token(), tags))
  }

  async delete(key) {
    this.#start()
    return this.#written(native.behind_remove(this.#behind, key, runtime.token()))
  }

  async delta(key, change) {
    const encoded = encode('write_behind', change)
    this.#start()
    return this.#written(native.behind_delta(this.#behind, key, encoded, runtime.token()))
  }

  async #written(answer) {
    const known = await this.#answer(answer)
    if (known[0] === DONE) return { pending: known[1], token: known[2] }
    if (known[0] !== LEAD) throw fetchErrors.thrownBy(known)
    await writeThrough(this.#behind, known[1], this.#writer)
    return undefined
  }

  async run(writer, options) {
    if (isRecord(writer) && options === undefined) [writer, options] = [undefined, writer]
    writer ??= this.#writer
    checkWriter(writer)
    await work(this.#behind, writer, pulling(options, WORKING), false)
  }

  async nextBatch(options) {
    return nextBatch(this.#behind, pulling(options, PULLING), false)
  }

  async * [Symbol.asyncIterator]() {
    for (;;) {
      let writes
      try {
        writes = await nextBatch(this.#behind, {}, false)
      } catch (error) {
        if (error instanceof Closed) return
        throw error
      }
      if (writes.length > 0) yield writes
    }
  }

  ack(writes) {
    return native.behind_ack(this.#behind, numbers(writes))
  }

  nack(writes, error = '', { permanent = false } = {}) {
    return native.behind_nack(this.#behind, numbers(writes), String(error), permanent)
  }

  giveBack(writes) {
    native.behind_give_back(this.#behind, numbers(writes))
  }

  async deadLetters({ after, limit } = {}) {
    return writesOf(await this.#answer(native.behind_letters(this.#behind, after?.number ?? 0, limit, runtime.token())))
  }

  async replay(letters) {
    return this.#count(letters, native.behind_replay)
  }

  async drop(letters) {
    return this.#count(letters, native.behind_drop)
  }

  async #count(letters, call) {
    const chosen = letters === undefined ? [] : numbers(letters)
    // To the core no number means all of them.
    if (letters !== undefined && chosen.length === 0) return 0
    const answer = await this.#answer(call(this.#behind, chosen, runtime.token()))
    if (answer[0] !== COUNT) throw fetchErrors.thrownBy(answer)
    return answer[1]
  }

  async flush({ timeout } = {}) {
    return this.#drained(native.behind_flush(this.#behind, timeout, runtime.token()))
  }

  async close({ timeout } = {}) {
    const report = await this.#drained(native.behind_close(this.#behind, timeout, runtime.token()))
    this.#closed = true
    // It has nothing to do any more; a writer that still runs is not waited for.
    if (report.left === 0) await this.#worker?.catch(() => {})
    return report
  }

  async #drained(answer) {
    const known = await this.#answer(answer)
    if (known[0] !== DRAINED) throw fetchErrors.thrownBy(known)
    const [written, left, dead] = known[1]
    return { written, left, dead }
  }

  stats() {
    const counters = JSON.parse(native.behind_stats(this.#behind))
    return Object.fromEntries(Object.entries(counters).map(([name, value]) => [camelCase(name), value]))
  }

  /** The answer of a call, once it is there. */
  async #answer(answer) {
    return answer === null ? runtime.answer([this.#behind, this.#cache], runtime.take(1)) : answer
  }

  /** Starts the worker of this environment, where there is a writer and none runs. */
  #start() {
    if (this.#writer === undefined || this.#worker !== undefined || this.#closed) return
    this.#worker = work(this.#behind, this.#writer, {}, true)
    this.#worker.then(() => { this.#worker = undefined }, () => { this.#worker = undefined })
  }
}

// Node 20 has the symbol; `await using` needs a later one, or TypeScript.
if (Symbol.asyncDispose !== undefined) {
  Object.defineProperty(WriteBehind.prototype, Symbol.asyncDispose, {
    value: async function () {
      await this.close()
    },
    writable: true,
    configurable: true,
  })
}

function pulling(options, names) {
  if (options === undefined) return {}
  if (!isRecord(options)) throw wrong(`options must be an object, are ${typeName(options)}`)
  check(options, names, 'next_batch')
  return { ...options, signal: checkSignal(options.signal, 'next_batch') }
}

function checkWriter(writer) {
  if (typeof writer !== 'function') throw wrong(`writer must be a function, is ${typeName(writer)}`)
}

function camelCase(name) {
  return name.replace(/_[a-z]/g, (pair) => pair[1].toUpperCase())
}

function wrong(message) {
  return new InvalidOption(message, { operation: 'write_behind' })
}

module.exports = { WriteBehind }
