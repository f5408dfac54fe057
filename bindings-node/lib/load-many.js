'use strict'

// getOrFetchMany: one look into each tier, one fetch for the keys that nobody else loads.

const native = require('./native.js')
const runtime = require('./runtime.js')
const leases = require('./leases.js')
const fetchErrors = require('./fetch-errors.js')
const { orAborted } = require('./abort.js')
const { InvalidValue, PartialError } = require('./errors.js')
const { decode, isStored, NONE } = require('./decode.js')
const { valueOf } = require('./fetched.js')
const { identity, lookup } = require('./keys.js')
const { loadAgain, FetchContext, fulfil, failed, refreshBehind, ABSENT } = require('./load.js')

const { LEAD, REFRESH, BYPASS, WAITING, FAILED } = native
const OPERATION = 'get_or_fetch_many'

/**
 * @typedef {object} ManyCall a call of getOrFetchMany
 * @property {unknown} cache the addon's handle
 * @property {import('./copies.js').Copies} copies
 * @property {import('./checked.js').Checked} checked
 * @property {Set<AbortController>} refreshes
 * @property {(string | Uint8Array)[]} keys
 * @property {number | undefined} ttl
 * @property {string | undefined} codec
 * @property {unknown[] | undefined} tags
 * @property {(missing: (string | Uint8Array)[], context: FetchContext) => unknown} fetch
 * @property {AbortSignal | undefined} signal
 *
 * @typedef {{ key: string | Uint8Array, lease: number }} Led a key to be loaded; lease 0: unshared, nothing is stored
 */

/**
 * Answers a call.
 * @param {ManyCall} call
 * @returns {Promise<Map<string | Uint8Array, unknown>>}
 */
async function loadMany(call) {
  if (call.signal?.aborted) throw call.signal.reason
  const load = new ManyLoad(call)
  await load.run()
  const values = load.inOrder(load.values)
  if (load.failed.size > 0) throw new PartialError(load.inOrder(load.failed), values)
  return values
}

class ManyLoad {
  /** @param {ManyCall} call */
  constructor(call) {
    this.call = call
    /** The keys by what they are: each is asked for once, however often and in whatever spelling it was given. */
    this.keys = distinct(call.keys)
    /** @type {Map<unknown, unknown>} identity → value */
    this.values = new Map()
    /** @type {Map<unknown, unknown>} identity → error */
    this.failed = new Map()
  }

  /** Results under the keys as the caller gave them, in their order. */
  inOrder(results) {
    const found = new Map()
    for (const key of this.call.keys) {
      const name = identity(key)
      if (results.has(name)) found.set(key, results.get(name))
    }
    return found
  }

  /** Answers what there are copies of; gives the other keys. */
  withoutCopies() {
    const { call } = this
    if (!call.checked.has(call)) return this.keys
    return this.keys.filter((key) => {
      const copy = call.copies.get(key)
      if (copy !== undefined) this.values.set(identity(key), copy)
      return copy === undefined
    })
  }

  async run() {
    const { call } = this
    const keys = this.withoutCopies()
    // No keys at all are the core's to answer: the cache may be closed.
    if (keys.length === 0 && this.keys.length > 0) return
    // One token for the call, and one for each key that another caller loads.
    const token = runtime.take(keys.length + 1)
    const others = new Others(call, token + 1)
    const begun = native.begin_many(call.cache, keys, token, call.ttl, call.codec, leases.held(), call.tags)
    // Such a key may be answered before the call itself is.
    if (begun === null) keys.forEach((_, index) => others.wait(index))
    try {
      const answer = begun ?? await runtime.answer(call.cache, token, call.signal)
      if (answer[0] === FAILED) throw fetchErrors.thrownBy(answer)
      const todo = new Todo()
      answer[1].forEach((item, index) => {
        if (Array.isArray(item) && item[0] === WAITING) return others.wait(index)
        others.withdraw(index)
        this.settle(keys[index], item, todo)
      })
      call.checked.note(call)
      call.copies.keptMany(keys, keys.map((key) => this.values.get(identity(key))), answer[2])
      await this.work(todo)
      await others.each((index, answer) => {
        const todo = new Todo()
        this.settle(keys[index], answer, todo)
        return this.work(todo)
      })
    } finally {
      others.withdrawAll()
    }
  }

  /** Sorts the answer for one key: a value, an error, or something still to be done. */
  settle(key, answer, todo) {
    const status = Array.isArray(answer) ? answer[0] : undefined
    if (status === FAILED) return void this.failed.set(identity(key), fetchErrors.thrownBy(answer))
    if (status === LEAD) return void todo.leads.push({ key, lease: answer[1] })
    if (status === BYPASS) return void todo.leads.push({ key, lease: 0 })
    const [stored, lease] = status === REFRESH ? [answer[1], answer[2]] : [answer, 0]
    const value = isStored(stored) ? decode(stored) : NONE
    if (value !== NONE) {
      this.values.set(identity(key), value)
      if (lease !== 0) todo.refresh.push({ key, lease })
      return
    }
    native.note_undecodable(this.call.cache, key)
    if (lease !== 0) todo.leads.push({ key, lease })
    else todo.again.push(key)
  }

  async work(todo) {
    if (todo.refresh.length > 0) this.refresh(todo.refresh)
    await this.lead(todo.leads, leases.within(leasesOf(todo.leads)))
    for (const key of todo.again) await this.again(key)
  }

  /**
   * Runs one fetch for these keys and answers their leases. Rejects only when the caller's signal aborts.
   * @param {Led[]} leads
   */
  async lead(leads, fetching) {
    if (leads.length === 0) return
    const context = new FetchContext(this.call.signal)
    const missing = leads.map(({ key }) => key)
    let fetched
    try {
      const running = leases.run(fetching, async () => this.call.fetch(missing, context))
      fetched = await (this.call.signal === undefined ? running : orAborted(running, this.call.signal))
    } catch (error) {
      if (this.call.signal?.aborted) {
        leads.forEach((led) => this.abandon(led))
        throw this.call.signal.reason
      }
      return leads.forEach((led) => this.fail(led, error))
    } finally {
      fetching.ended = true
    }
    const found = lookup(fetched)
    if (found === undefined) {
      const error = new InvalidValue('the fetch must give a Map, or an object, of values by their keys', { operation: OPERATION })
      return leads.forEach((led) => this.fail(led, error, 'InvalidValue'))
    }
    for (const led of leads) {
      const value = found(led.key)
      if (value === undefined) this.abandon(led)
      else this.fulfil(led, value)
    }
  }

  abandon({ lease }) {
    if (lease !== 0) native.abandon(this.call.cache, lease)
  }

  fulfil({ key, lease }, value) {
    this.note(key, () => (lease === 0 ? valueOf(value) : fulfil(this.call, lease, value, OPERATION)))
  }

  fail({ key, lease }, error, kind) {
    this.note(key, () => {
      if (lease === 0) throw error
      return failed(this.call, lease, error, kind)
    })
  }

  /** Notes what became of a key. */
  note(key, result) {
    try {
      this.values.set(identity(key), result())
    } catch (error) {
      this.failed.set(identity(key), error)
    }
  }

  /** Loads a key whose stored value this runtime cannot hold, past what is stored. */
  async again(key) {
    const one = async (context) => {
      const found = lookup(await this.call.fetch([key], context))?.(key)
      if (found === undefined) throw ABSENT
      return found
    }
    try {
      this.values.set(identity(key), await loadAgain({ ...this.call, key, fetch: one }))
    } catch (error) {
      if (this.call.signal?.aborted) throw this.call.signal.reason
      if (error !== ABSENT) this.failed.set(identity(key), error)
    }
  }

  /** @param {Led[]} leads */
  refresh(leads) {
    refreshBehind(this.call, leasesOf(leads), (behind) => {
      return new ManyLoad({ ...behind, keys: [] }).lead(leads, leases.apart(leasesOf(leads)))
    })
  }
}

/** What is still to be done for some keys. */
class Todo {
  /** @type {Led[]} to be loaded by this caller */
  leads = []
  /** @type {Led[]} to be refreshed behind it */
  refresh = []
  /** To be loaded past what is stored. */
  again = []
}

function distinct(keys) {
  const byIdentity = new Map()
  for (const key of keys) {
    const name = identity(key)
    if (!byIdentity.has(name)) byIdentity.set(name, key)
  }
  return [...byIdentity.values()]
}

function leasesOf(leads) {
  return leads.map(({ lease }) => lease).filter((lease) => lease !== 0)
}

/** The keys of a call that others load: the answers come under tokens of their own. */
class Others {
  /**
   * @param {ManyCall} call
   * @param {number} first the token of the first key
   */
  constructor(call, first) {
    this.call = call
    this.first = first
    /** @type {Map<number, Promise<unknown>>} by the index of the key */
    this.answers = new Map()
  }

  wait(index) {
    if (this.answers.has(index)) return
    const answer = runtime.answer(this.call.cache, this.first + index, this.call.signal)
    // It is looked at later, or never when the whole call fails.
    answer.catch(() => {})
    this.answers.set(index, answer)
  }

  withdraw(index) {
    if (this.answers.delete(index)) runtime.withdraw(this.first + index)
  }

  withdrawAll() {
    for (const index of this.answers.keys()) this.withdraw(index)
  }

  /** Handles each answer as soon as it is there. */
  async each(handle) {
    await Promise.all([...this.answers].map(async ([index, answer]) => handle(index, await answer)))
  }
}

module.exports = { loadMany }
