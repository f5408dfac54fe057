/// <reference lib="esnext.disposable" />

import type { Key, Receipt, StoreOptions } from './index.js'

/** A write for the source, as its writer gets it. */
export interface Write {
  /** The key as text; bytes that are no UTF-8 are replaced in it. */
  readonly key: string
  /** The bytes of the key. */
  readonly keyBytes: Buffer
  /** What is to be done: store the whole value, delete the key, or change what is there. */
  readonly kind: 'set' | 'delete' | 'delta'
  /** The value, or the change; undefined for a delete. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly value: any
  /** The identity of the write, `process-sequence`: who meets it twice has written it already. */
  readonly id: string
  /** The first half of the identity: who wrote. */
  readonly process: number
  /** The second half. It grows with each write: a source that keeps it with the row can refuse what is older. */
  readonly sequence: number
  /** How often it was handed out, this time included. */
  readonly attempt: number
  /** When it was acknowledged, in milliseconds since 1970; where writes were merged, the first of them. */
  readonly enqueuedMs: number
  /** Why it is a dead letter; empty otherwise. */
  readonly error: string
}

/**
 * Brings writes, of different keys, to the source, and returns when it has all of them. It may throw `Rejected`, or return an
 * array of such, for those that failed: the source has the others then. Any other error is one of the whole batch, which is
 * tried again, if need be each write alone.
 */
export type Writer = (writes: Write[]) => void | undefined | null | Rejected[] | PromiseLike<void | undefined | null | Rejected[]>

/** What a writer throws, or returns an array of, for writes that failed. */
export class Rejected extends Error {
  /**
   * @param writes one of the batch, or several; each failed by itself
   * @param message why, for the list of dead letters; 1 KiB of it is kept
   */
  constructor(writes: Write | Iterable<Write>, message?: string, options?: RejectedOptions)
  readonly writes: Write[]
  readonly permanent: boolean
}

/** How writes were rejected. */
export interface RejectedOptions {
  /** Do not try again: they are dead letters. */
  permanent?: boolean
  /** What caused it. */
  cause?: unknown
}

/** The options of `writeBehind`. Durations are seconds. */
export interface WriteBehindOptions {
  /**
   * When a write is acknowledged: it is in a file of this process, synced to the disk (the default); in a stream of the cache's
   * Redis; or, only if asked for, in the memory of this process.
   */
  ack?: 'journal' | 'redis' | 'memory'
  /** Where the journals are, on a local disk; required by `'journal'`. */
  directory?: string
  /** How much may wait, overhead counted: 4 KiB to 64 GiB. Default 64 MiB. */
  maxBytes?: number
  /** How old the oldest write may be. Default: no bound. */
  maxAge?: number
  /**
   * What becomes of a write beyond these bounds: it waits (the default), its caller makes it by the writer when the earlier ones
   * of its key are done, or it is `Overloaded`.
   */
  onFull?: 'block' | 'write_through' | 'reject'
  /** How long a write waits at most, then it is `Overloaded`. Default 5. */
  blockFor?: number
  /** After so many failures of a write alone it is a dead letter; 0 for never. Default 20. */
  maxAttempts?: number
  /** The pause after the first failure. It doubles with each. Default 0.1. */
  retryBase?: number
  /** The longest pause. Default 30. */
  retryMax?: number
  /** A write that was handed out and not answered for is due again after so long. Default 60. */
  visibility?: number
  /** With `'redis'`: over so many partitions keys are spread. The first process decides. Default 16. */
  partitions?: number
}

/** How a worker takes batches. */
export interface WorkerOptions {
  /** How many writes a batch has at most, 1 to 10000. Default 100. */
  maxItems?: number
  /** How many bytes of keys and values. Default 1 MiB. */
  maxBytes?: number
  /** How long the first write of a batch waits for others, in seconds. Default 0. */
  linger?: number
  /** Ends the wait: the call rejects with the signal's reason, and no batch is lost. */
  signal?: AbortSignal
}

/** How a batch is taken. */
export interface BatchOptions extends WorkerOptions {
  /** How long to wait for the first write, in seconds. Default: as long as it takes. */
  wait?: number
}

/** What a `flush` or a `close` came to. */
export interface DrainReport {
  /** Writes that the source got meanwhile. */
  readonly written: number
  /** Writes that it has not got. After a close the journal, or the stream, has them for whoever opens it next. */
  readonly left: number
  /** Dead letters, which stay where they are. */
  readonly dead: number
}

/** The counters of one write-behind in this process. */
export interface WriteBehindStats {
  /** Writes that wait for the source, those handed out included; dead letters are not. */
  readonly depth: number
  /** What they and the dead letters weigh. */
  readonly bytes: number
  /** How long the oldest of them has waited. */
  readonly oldestAgeMs: number
  /** Writes that are handed out and not answered for. */
  readonly inFlight: number
  /** Writes acknowledged to callers. */
  readonly accepted: number
  /** Writes that the source has. */
  readonly written: number
  /** Writes that a newer one of their key took the place of. */
  readonly coalesced: number
  /** Failures of writes that were, or will be, tried again. */
  readonly retried: number
  /** Dead letters. */
  readonly dead: number
  /** Writes taken over from dead processes. */
  readonly adopted: number
  /** Writes refused, or that waited in vain, because too much waited. */
  readonly rejected: number
  /** Commits, or attempts to open a journal anew, that failed. */
  readonly journalErrors: number
  /** 1 while writes are not acknowledged because the journal, or the stream, cannot be written. */
  readonly journalFailed: number
}

/**
 * A write-behind over a cache: made by `CacheService.writeBehind`.
 *
 * With a writer, the first write starts its worker, which does not keep the process alive. Without one, `run` one somewhere, in
 * this process or another one, iterate over the batches, or pull them by `nextBatch`. What is acknowledged survives a program
 * that ends without `close`: whoever opens the write-behind next brings it to the source.
 */
export class WriteBehind {
  private constructor()

  /**
   * Stores a value in the cache, and behind it in the source, which gets the newest of those that wait.
   *
   * @returns the receipt, once the write is acknowledged; undefined where the caller has made the write itself
   *   (`onFull: 'write_through'`)
   * @throws {Unavailable} the journal, or the stream, cannot be written, and nothing has happened
   * @throws {Overloaded} too much waits for the source
   */
  set(key: Key, value: unknown, ttl?: number | StoreOptions): Promise<Receipt | undefined>

  /** Deletes a key from the cache, and behind it from the source. Until that has it, a `getOrFetch` of it is `NotFound`. */
  delete(key: Key): Promise<Receipt | undefined>

  /**
   * Has the source change what it has under a key, by what its writer understands. Each change is written. The cache lets go of
   * the key, and stores nothing that is loaded before the source has it.
   */
  delta(key: Key, change: unknown): Promise<Receipt | undefined>

  /** Brings writes to the source until the write-behind is closed, or the signal aborts. Default: its own writer. */
  run(writer?: Writer, options?: WorkerOptions): Promise<void>
  run(options?: WorkerOptions): Promise<void>

  /**
   * The next writes for the source, of different keys; none when none came within `wait`. Make them, then `ack` or `nack` each,
   * within `visibility`: what is not answered for is handed out again.
   * @throws {Closed} there will be no more
   */
  nextBatch(options?: BatchOptions): Promise<Write[]>

  /** The batches until the write-behind is closed. Answer for each write as with `nextBatch`. */
  [Symbol.asyncIterator](): AsyncGenerator<Write[], void, void>

  /** The source has these writes. Returns how many of them were waited for. */
  ack(writes: Write | Iterable<Write>): number

  /**
   * These writes failed, by one error: those of a batch that failed as a whole in one call. Several are tried again, each alone
   * where that may tell whose fault it was. One alone is tried again after a pause, or is a dead letter where that is
   * `permanent` or it failed `maxAttempts` times.
   */
  nack(writes: Write | Iterable<Write>, error?: unknown, options?: { permanent?: boolean }): number

  /** Gives writes back that were not tried: they are due again at once, and none of them is to blame. */
  giveBack(writes: Write | Iterable<Write>): void

  /** The writes that failed for good, each with its `error`: those after a given one, at most `limit` (100). */
  deadLetters(options?: { after?: Write, limit?: number }): Promise<Write[]>

  /** Has these dead letters, by default all, tried again. Returns how many. */
  replay(letters?: Write | Iterable<Write>): Promise<number>

  /** Gives these dead letters, by default all, up. The cache lets go of their keys. Returns how many. */
  drop(letters?: Write | Iterable<Write>): Promise<number>

  /** Waits, `timeout` (5) seconds at most, until the source has every write that was acknowledged before. */
  flush(options?: { timeout?: number }): Promise<DrainReport>

  /**
   * Takes no more writes, waits, `timeout` (5) seconds at most, until the source has those that there are, and ends. A second close
   * tells what there is.
   */
  close(options?: { timeout?: number }): Promise<DrainReport>
  [Symbol.asyncDispose](): Promise<void>

  /** The counters, in this process. */
  stats(): WriteBehindStats
}
