// What the worker writes down: see `records.py`.

import fs from 'node:fs'

export const Op = { get: 1, getOrFetch: 2, getMany: 3, getOrFetchMany: 4, delete: 5, set: 6, landed: 7, last: 8 }
export const Flag = { pending: 1, negative: 2, failed: 4, miss: 8, loaded: 16 }

const SIZE = 40
const NO_BOUND = 2 ** 32 - 1

export class Log {
  #file
  #buffer = Buffer.alloc(SIZE * 1024)
  #used = 0
  #worker
  // `hrtime` counts from where CLOCK_MONOTONIC does.
  #offset

  constructor(config) {
    this.#file = fs.openSync(config.log, 'w')
    this.#worker = config.worker
    this.#offset = BigInt(config.boottime_offset)
  }

  /** The clock of all records, in ns. */
  now() {
    return process.hrtime.bigint() + this.#offset
  }

  /** An operation that has begun; `bound` in seconds, Infinity where none is claimed. */
  begin(op, bound) {
    const claimed = bound === Infinity ? NO_BOUND : Math.min(Math.round(bound * 1e6), NO_BOUND - 1)
    return { op, bound: claimed, at: this.now() }
  }

  /** An operation that ends now; it saw this version, in a value that names this key. */
  note(begun, key, ver, named, flags) {
    const buffer = this.#buffer
    let at = this.#used
    at = buffer.writeBigUInt64LE(begun.at, at)
    at = buffer.writeBigUInt64LE(this.now(), at)
    at = buffer.writeBigInt64LE(BigInt(ver), at)
    at = buffer.writeUInt32LE(key, at)
    at = buffer.writeUInt32LE(named, at)
    at = buffer.writeUInt32LE(begun.bound, at)
    at = buffer.writeUInt16LE(this.#worker, at)
    at = buffer.writeUInt8(begun.op, at)
    this.#used = buffer.writeUInt8(flags, at)
    if (this.#used === buffer.length) this.flush()
  }

  flush() {
    let written = 0
    while (written < this.#used) written += fs.writeSync(this.#file, this.#buffer, written, this.#used - written)
    this.#used = 0
  }

  close() {
    this.flush()
    fs.closeSync(this.#file)
  }
}
