/// <reference lib="esnext.disposable" />

/**
 * One cache for services in Rust, Python, Node.js, Go and C: in memory, and shared through Redis or Valkey.
 *
 * @packageDocumentation
 */

import type { Source, WriteThrough, WriteThroughOptions } from './through.js'
import type { WriteBehind, WriteBehindOptions, Writer } from './write-behind.js'

export * from './errors.js'
export * from './through.js'
export * from './write-behind.js'

/** A key: text, or bytes. 1 to 1024 bytes as UTF-8. Text and its UTF-8 are the same key. */
export type Key = string | Uint8Array

/** What a value is stored as, when it is not bytes, which are always stored as they are. */
export type Codec = 'json' | 'msgpack'

/** How a value is stored. */
export interface StoreOptions {
  /** How long the value is fresh, in seconds: 0.001 to 31536000 (365 days). Default: the `ttl` of the cache. */
  ttl?: number | undefined
  /** Default: the `codec` of the cache. */
  codec?: Codec | undefined
  /** The tags of the entry, at most 16 (the option `maxTags`), each 1 to 128 bytes: see `invalidateTags`. */
  tags?: Iterable<string> | null | undefined
}

/** How a call of `getOrFetch` is made. */
export interface FetchOptions {
  /**
   * Gives up: the call rejects at once with the signal's reason. Nobody else is affected. When this caller runs the
   * fetch, the next one that waits runs its own, and what the abandoned fetch still brings is not stored.
   */
  signal?: AbortSignal | undefined
  /** What the value is stored as. Default: the `codec` of the cache. */
  codec?: Codec | undefined
  /** The tags of the entry; they may stand beside the ttl as well. */
  tags?: Iterable<string> | null | undefined
}

/** What a fetch is given. */
export interface FetchContext {
  /**
   * Aborts when the caller gives up; for a refresh that runs behind its caller, when the cache is closed. Pass it on to
   * what the fetch waits for.
   */
  readonly signal: AbortSignal
}

/** What a fetch gives that says itself how its value is to be stored: see `fetched`. */
export interface Fetched<T> {
  readonly value: T
  readonly ttl: number | undefined
  readonly tags: readonly string[] | undefined
}

/**
 * What a fetch may give instead of its value, where only the value tells how it is to be stored. Callers get the value.
 *
 * A tag that is named here may have been invalidated while the fetch ran: if nothing is known of it in this process, the
 * value is stored for 2 s and not in memory, and the next fetch knows.
 *
 * @param options `ttl` instead of what the call says; `tags` beside those of the call
 */
export function fetched<T>(
  value: T,
  options?: { ttl?: number | undefined; tags?: Iterable<string> | null | undefined },
): Fetched<T>

/** What became of a write. */
export interface Receipt {
  /**
   * The shared tier was not reached yet: an invalidation of the keys is queued and retried until it lands. The write
   * holds in this process.
   */
  readonly pending: boolean
  /** Where this write stands in the order of writes: 32 hexadecimal digits. */
  readonly token: string
}

/** The options of a cache. Times are in seconds. */
export interface CacheOptions {
  /** How long a value is fresh when a call gives no ttl: 0.001 to 31536000. Default 3600. */
  ttl?: number | undefined
  /** How long after its ttl a value may be served when the fetch fails or is slow. Default: 10 × ttl, at most 3600. */
  staleFor?: number | null | undefined
  /** The share of the ttl by which lives are shortened at random, 0 to 0.5. Default 0.1. */
  jitter?: number | undefined
  /** After this long in a fetch, those that wait get the stale value if there is one. Default: never. */
  fetchSoftTimeout?: number | null | undefined
  /** After this long in a fetch, its key is free again and those that wait get `FetchTimeout`. Default 30. */
  fetchHardTimeout?: number | undefined
  /** The time for all work on the shared tier before a fetch starts. Default 0.25. */
  l2Timeout?: number | undefined
  /** Whether repeated failures of the shared tier cut it off for a while. Default true. */
  breaker?: boolean | undefined
  /** How old a hit in memory may be while the shared tier could know better; 0 asks it each time. Default 1. */
  maxStaleness?: number | undefined
  /** The bound of the memory tier in bytes, overhead counted; 0 = no memory tier. Default 64 MiB. */
  l1Bytes?: number | undefined
  /** A bound of the memory tier in entries, beside that in bytes. Default: none. */
  l1Entries?: number | null | undefined
  /** The largest encoded value in bytes, 1 KiB to 512 MiB. Default 8 MiB. */
  maxValue?: number | undefined
  /** How long a "not found" of a fetch is remembered. Default 5. */
  negativeTtl?: number | undefined
  /** How many fetches of this cache may run at once, 1 to 1000000. Default 64. */
  originConcurrency?: number | undefined
  /** How many tags one entry may have, 1 to 64. Default 16. */
  maxTags?: number | undefined
  /** What values are stored as when a call does not say. Default `json`. */
  codec?: Codec | undefined
  /** Whether a hit near its end may draw one caller to refresh the value behind it. Default true. */
  refreshAhead?: boolean | undefined
  /**
   * How entries stand in the shared tier: `plain` is bare JSON at `prefix:key`, for programs that know nothing of
   * Scrubjay; such entries have no lease, no tags and no proof that they belong to their key. Default `scrubjay`.
   */
  format?: 'scrubjay' | 'plain' | undefined
  /** Whether memory follows writes of plain entries by other programs, by the server's tracking. Default false. */
  tracking?: boolean | undefined
  /** A channel whose messages are keys that other programs have changed: they are invalidated. Default: none. */
  subscribeInvalidations?: string | null | undefined
  /** A channel on which the keys of `set`, `delete` and `update` are told to other programs. Default: none. */
  publishInvalidations?: string | null | undefined
  /** Whether every hit is decoded anew, for callers that change what they get. Default false: hits share a value. */
  isolate?: boolean | undefined
  /** Roots to trust for `rediss://`: PEM text, or the path of a PEM file. Default: the system's. */
  tlsCa?: string | Uint8Array | null | undefined
  /** A client certificate for `rediss://`: PEM text or a path; needs `tlsKey`. */
  tlsCert?: string | Uint8Array | null | undefined
  /** The key of `tlsCert`: PEM text or a path. */
  tlsKey?: string | Uint8Array | null | undefined
  /** The ACL user, unless the URL names one. */
  username?: string | null | undefined
  /** The password, unless the URL has one. */
  password?: string | null | undefined
}

/** The same options under the names that they have in every language, for a configuration that services share. */
export interface SharedOptions {
  url?: string | undefined
  prefix?: string | undefined
  ttl?: number | undefined
  stale_for?: number | null | undefined
  jitter?: number | undefined
  fetch_soft_timeout?: number | null | undefined
  fetch_hard_timeout?: number | undefined
  l2_timeout?: number | undefined
  breaker?: boolean | undefined
  max_staleness?: number | undefined
  l1_bytes?: number | undefined
  l1_entries?: number | null | undefined
  max_value?: number | undefined
  negative_ttl?: number | undefined
  origin_concurrency?: number | undefined
  max_tags?: number | undefined
  codec?: Codec | undefined
  refresh_ahead?: boolean | undefined
  format?: 'scrubjay' | 'plain' | undefined
  tracking?: boolean | undefined
  subscribe_invalidations?: string | null | undefined
  publish_invalidations?: string | null | undefined
  isolate?: boolean | undefined
  tls_ca?: string | null | undefined
  tls_cert?: string | null | undefined
  tls_key?: string | null | undefined
  username?: string | null | undefined
  password?: string | null | undefined
}

/** How an update goes. */
export interface UpdateOptions {
  /**
   * For how long nothing is stored should the writer die, in seconds: 0.1 to 3600. Default 30. It must be longer than the
   * longest transaction.
   */
  intentTtl?: number | undefined
  /** For how long nothing is stored after the write, in seconds: where fetches read a replica, the bound of its lag. */
  hold?: number | undefined
  /** Do not write where the shared tier cannot be told of it. Default false. */
  strict?: boolean | undefined
  /**
   * Tags of what the write changes: as for the keys, nothing that has one of them is stored or read meanwhile, and then they
   * are invalidated.
   */
  tags?: Iterable<string> | null | undefined
  /** Gives up before the write is run, and is handed to it. */
  signal?: AbortSignal | undefined
}

/** What an update came to. */
export interface Updated<T> {
  /** What the write gave. */
  value: T
  /** What became of the invalidation. */
  receipt: Receipt
}

/** What a cache knows of one key. Times are seconds; null is what there is not. The same fields in every language. */
export interface Explanation {
  /** What would answer a read now: the memory of this process, the shared tier, or nothing: a miss. */
  tier: 'l1' | 'l2' | null
  /** Why: `held` is by a writer at work, `pending` an invalidation that has not landed, `foreign` of another release. */
  reason:
    | 'fresh'
    | 'absent'
    | 'expired'
    | 'invalidated'
    | 'held'
    | 'loading'
    | 'pending'
    | 'damaged'
    | 'foreign'
    | 'unreachable'
  /** Whether there is a value past its time, for when a fetch fails or is slow. */
  stale: boolean
  /** How long ago the value was stored. */
  age: number | null
  /** How long it stays fresh; negative where it is not any more. */
  ttl: number | null
  /** How long it may be served stale from now on, its fresh time included. */
  stale_ttl: number | null
  /** The number of its write in the sequence of the shared tier. */
  version: number | null
  /** The tags of the value. */
  tags: string[]
  /** Who loads it now: this process or another one, and how long it has unless that is extended. */
  lease: { here: boolean; left: number } | null
  /** The writers that are at work, and when the last of them is given up. */
  hold: { writers: number; left: number } | null
  /** How long its last load took, in milliseconds. */
  load_ms: number | null
  codec: 'json' | 'msgpack' | 'raw' | null
  /** The length of the value as it is stored. */
  bytes: number | null
  /** Whether it is a remembered "not found". */
  negative: boolean
  /** Whether the shared tier could be asked, or there is none. */
  reachable: boolean
}

/** The counters of a cache since it was opened. The same fields in every language. */
export interface Stats {
  /** Reads answered by the memory tier. */
  hits_l1: number
  /** Reads answered by the shared tier. */
  hits_l2: number
  /** Reads that found nothing. */
  misses: number
  /** Values served past their ttl because the fetch failed or was slow. */
  stale_served: number
  /** Fetches that callers were asked to run. */
  loads: number
  /** Fetches that failed or ran into their timeout. */
  load_errors: number
  /** Callers that waited for the fetch, or the read of the shared tier, of another one. */
  waits: number
  /** Entries that left the memory tier for want of room. */
  evictions: number
  /** Entries that left the memory tier at the end of their life. */
  expired: number
  /** Keys deleted, and clears. */
  invalidations: number
  /** Invalidations that the shared tier has not got yet. */
  pending: number
  /** Stored values that could not be read and were treated as absent. */
  decode_misses: number
  /** Operations on the shared tier that failed or ran into their timeout. */
  l2_errors: number
  /** Reads of the connection to the shared tier that brought something, made by the core. */
  driven_by_core: number
  /** The same, made by the event loop that waited for an answer. */
  driven_by_caller: number
  /** Sessions with the server in which it told of writes: one more each time that some were missed. */
  push_sessions: number
  /** How many ms ago the server was last asked whether it had told everything, and has answered; 0 without a session. */
  coherence_lag_ms: number
  /** Whether the shared tier is cut off after repeated failures. */
  breaker_state: 'closed' | 'open' | 'half_open'
  /** Entries in the memory tier. */
  entries: number
  /** Bytes in the memory tier, overhead counted. */
  bytes: number
}

/**
 * A cache: in memory, and behind it in a Redis or Valkey when it has one.
 *
 * Every method may be called as often at once as you like. Wrong arguments reject (`getSync` and the constructor
 * throw) with `InvalidKey`, `InvalidValue` or `InvalidOption`, and every call after `close` with `Closed`. That the
 * shared tier cannot be reached is no error: reads go on from memory and your fetch, writes say so in their receipt.
 *
 * Values are JSON, or bytes: see the README for what that means for each type.
 */
export class CacheService {
  /**
   * Opens a cache. It connects to nothing and starts no thread yet: the first call does.
   *
   * An open cache does not keep the process alive; a call that is under way does.
   *
   * @param url `memory://` (the default), `redis://host:port`, `rediss://…` (TLS) or `unix://…`
   * @param prefix the namespace of all keys, so that services can share a server: 0 to 128 bytes of `[A-Za-z0-9_.:-]`
   * @param options an option that is not known is refused
   * @throws {InvalidOption} naming the option and its limit
   */
  constructor(url?: string | URL, prefix?: string, options?: CacheOptions | SharedOptions)

  /**
   * The value of a key; undefined where there is none. A cached null is a value.
   *
   * A hit in memory is decoded once: later hits give the same object, which is not to be changed, or, with the option
   * `isolate`, an object of their own.
   */
  get<T = unknown>(key: Key): Promise<T | undefined>

  /** What memory has now, without a look into the shared tier. */
  getSync<T = unknown>(key: Key): T | undefined

  /**
   * Stores a value.
   *
   * @param ttl how long it is fresh, in seconds: 0.001 to 31536000; or an object with `ttl`, `codec` and `tags`.
   *   Default: the `ttl` of the cache
   */
  set(key: Key, value: unknown, ttl?: number | StoreOptions): Promise<Receipt>

  /** Removes a key. A fetch of it that is under way still answers its callers; what it brings is not stored. */
  delete(key: Key): Promise<Receipt>

  /**
   * The value of a key; where there is none, `fetch` is run and what it gives is stored and returned. Of all callers that
   * miss a key at one time one runs its fetch, and the others wait for it.
   *
   * - What `fetch` throws is thrown unchanged to all of them, unless a value past its ttl can be served instead. Nothing
   *   is stored.
   * - A `fetch` that throws `NotFound` says that there is nothing: that is remembered for `negativeTtl`, and `get`
   *   answers undefined.
   * - When the key is deleted while `fetch` runs, its callers get the value and nothing is stored.
   * - A `fetch` that asks for the key it is loading, directly or through other fetches, gets `RecursiveFetch`.
   * - A hit close to its end may run `fetch` behind this call, to refresh the value.
   *
   * @param ttl as in `set`
   * @param fetch must give a value that is right for every caller of the key; may be sync or async
   */
  getOrFetch<T>(
    key: Key,
    ttl: number | StoreOptions | null | undefined,
    fetch: (context: FetchContext) => T | Fetched<T> | PromiseLike<T | Fetched<T>>,
    options?: FetchOptions,
  ): Promise<T>

  /** The values of those keys that have one, in one round trip, under the keys as they were given. */
  getMany<T = unknown>(keys: Iterable<string>): Promise<Map<string, T>>
  getMany<T = unknown>(keys: Iterable<Key>): Promise<Map<Key, T>>

  /** Stores many values in one round trip. All are checked before the first is stored. */
  setMany(
    entries: ReadonlyMap<Key, unknown> | Iterable<readonly [Key, unknown]> | Readonly<Record<string, unknown>>,
    ttl?: number | StoreOptions,
  ): Promise<Receipt>

  /** Removes many keys in one round trip. */
  deleteMany(keys: Iterable<Key>): Promise<Receipt>

  /**
   * Runs `write`, which changes the source of these keys, such that no old value of theirs is left after it: from before
   * it runs until it has ended nothing is stored under the keys, in any process; then they are invalidated, whatever
   * became of it. A process that dies in between leaves only that, for `intentTtl`.
   *
   * What `write` throws is thrown unchanged, once the keys are invalidated. That the shared tier cannot be reached is no
   * error, but with `strict`: then it rejects with `Unavailable`, and `write` is not run.
   *
   * When the signal aborts before `write` is run, it is not run. A `write` that runs is told by its own `signal`, and its
   * end is waited for.
   *
   * @throws {InvalidKey | InvalidOption | Overloaded | Closed} before `write` is run; `Closed` also after it
   */
  update<T>(
    keys: Iterable<Key>,
    write: (context: FetchContext) => T | PromiseLike<T>,
    options?: UpdateOptions,
  ): Promise<Updated<T>>

  /**
   * Puts a source behind this cache: reads load from it, writes go to it first and then into the cache.
   * @param options a ttl in seconds, or an object
   * @throws {InvalidOption} for a source without a load and a store, and for options of a wrong type
   */
  writeThrough<V, K = Key>(source: Source<V, K>, options?: number | WriteThroughOptions<K> | null): WriteThrough<V, K>

  /**
   * Opens a write-behind over this cache: the cache has its values at once, the source a little later. It starts no thread and
   * opens no file before its first use.
   *
   * @param name 1 to 64 of `[A-Za-z0-9_.-]`. Processes with the same name and directory, or the same name, prefix and Redis, work
   *   together
   * @throws {InvalidOption} naming the option and its limit
   */
  writeBehind(name: string, writer?: Writer, options?: WriteBehindOptions): WriteBehind
  writeBehind(name: string, options: WriteBehindOptions): WriteBehind

  /**
   * What this cache knows of a key: which tier would answer and why, its age and lives, who loads it and who is about to
   * write it. It tells neither value nor key, changes nothing and counts as no read.
   */
  explain(key: Key): Promise<Explanation>

  /**
   * The values of many keys. `fetch` is run once with those that have none and that nobody else is loading; then the
   * values that others are loading are waited for. When such a load is abandoned, `fetch` is run for that key.
   *
   * Keys that `fetch` leaves out, or gives as undefined, stay absent.
   *
   * @throws {PartialError} when keys failed; it has the values of the others
   */
  getOrFetchMany<T>(
    keys: Iterable<string>,
    ttl: number | StoreOptions | null | undefined,
    fetch: (missing: string[], context: FetchContext) => FetchedMany<T> | PromiseLike<FetchedMany<T>>,
    options?: FetchOptions,
  ): Promise<Map<string, T>>
  getOrFetchMany<T>(
    keys: Iterable<Key>,
    ttl: number | StoreOptions | null | undefined,
    fetch: (missing: Key[], context: FetchContext) => FetchedMany<T> | PromiseLike<FetchedMany<T>>,
    options?: FetchOptions,
  ): Promise<Map<Key, T>>

  /**
   * Invalidates every entry that has one of these tags, however many there are. When it resolves without `pending`, no
   * load that began before is stored in any tier.
   */
  invalidateTags(tags: Iterable<string>): Promise<Receipt>

  /** Removes everything of this cache's prefix, in one step. What is being loaded then is not stored. */
  clear(): Promise<Receipt>

  /** The counters of this cache since it was opened. */
  stats(): Stats
  /**
   * How old a hit may be at most, in seconds, by what is known now: `max_staleness` where memory answers beside a Redis, 0
   * without memory or without a Redis. Infinity: no bound can be told, for the server has no scripts.
   */
  effectiveStalenessBound(): number

  /**
   * Reads your own writes in another process: reads of these keys that begin after this call find the write of `token`, or
   * a later one. It waits for nothing.
   *
   * @param token that of a receipt: 32 hexadecimal digits, which travel in a cookie or a header, say
   * @param keys one key, or several
   * @throws {InvalidOption} when `token` is not one
   */
  observe(token: string, keys: Key | Iterable<Key>): void

  /**
   * Ends the cache: callers that wait get `Closed`, and so does every later call. Writes that have not reached the shared
   * tier get up to 5 s for it; the receipt is pending when some are left. May be called more than once.
   */
  close(): Promise<Receipt>

  /** For `await using`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** The options of a `MemoryCache`. */
export interface MemoryCacheOptions<V = unknown, K = string> {
  /** The most entries, 1 to 8388608 (2^23). Default: no bound but that of bytes. */
  max?: number | undefined
  /** The most bytes, 1 to 2^46, keys and what an entry costs counted. Default 64 MiB, or no bound where `max` is given. */
  maxBytes?: number | undefined
  /** How long an entry lives when `set` does not say, in seconds: 0.001 to 31536000. Default 3600. */
  ttl?: number | undefined
  /**
   * Tells how many bytes a value takes, once, when it is set. Default: an estimate that goes through all of the value.
   * Asked only where there is a bound in bytes.
   */
  sizeOf?: ((value: V, key: K) => number) | undefined
  /**
   * Is told of each entry that left, and why, when it has left: it may use the cache. What it throws is an uncaught
   * exception.
   */
  onEvict?: ((value: V, key: K, reason: EvictReason) => void) | undefined
}

/**
 * Why an entry left: there was no room for it, its time was up, its key was set or deleted, or the cache was cleared.
 */
export type EvictReason = 'capacity' | 'expired' | 'replaced' | 'removed' | 'cleared'

/** How an entry of a `MemoryCache` is kept. */
export interface MemorySetOptions {
  /** How long it lives, in seconds: 0.001 to 31536000 (365 days). Default: the `ttl` of the cache. */
  ttl?: number | undefined
  /** How many bytes the value takes. Default: what `sizeOf` tells. */
  size?: number | undefined
}

/** The counters of a `MemoryCache` since it was made. */
export interface MemoryStats {
  hits: number
  misses: number
  /** Entries that left for want of room. */
  evictions: number
  /** Entries that left at the end of their life. */
  expired: number
  /** Entries held now. */
  entries: number
  /** Bytes held now; 0 without a bound in bytes. */
  bytes: number
}

/**
 * A cache of one thread alone, like a `Map` that is bounded and whose entries end. It keeps the very keys and values that
 * it is given, and finds keys as a `Map` does.
 *
 * Which entry leaves when there is no room is decided by what was used, and how: see the README. An entry is gone from
 * memory within a second of its end, without being read.
 */
export class MemoryCache<V = unknown, K = string> {
  /** @throws {InvalidOption} naming the option and its limit */
  constructor(options?: MemoryCacheOptions<V, K>)

  /** The value of a key; undefined where there is none. */
  get(key: K): V | undefined

  /** The same without being noted: it neither counts nor keeps the entry from leaving. */
  peek(key: K): V | undefined

  /** Whether there is an entry, without being noted. */
  has(key: K): boolean

  /** How many seconds an entry has left; undefined where there is none. */
  ttl(key: K): number | undefined

  /**
   * Puts in an entry; in the place of that of the same key. One that is larger than the whole bound is not kept.
   * @param ttl how long it lives, in seconds; or an object with `ttl` and `size`
   */
  set(key: K, value: V, ttl?: number | MemorySetOptions | null): this

  /** Takes an entry out; whether there was one. */
  delete(key: K): boolean

  /** Takes every entry out. */
  clear(): void

  /** How many entries there are; some of them may have just come to their end. */
  readonly size: number

  /** The live entries, in the order in which their keys were first set. The cache may be changed meanwhile. */
  entries(): Generator<[K, V], undefined, undefined>
  keys(): Generator<K, undefined, undefined>
  values(): Generator<V, undefined, undefined>
  [Symbol.iterator](): Generator<[K, V], undefined, undefined>
  forEach(callback: (value: V, key: K, cache: MemoryCache<V, K>) => void, thisArg?: unknown): void

  /** The counters of this cache since it was made. */
  stats(): MemoryStats

  readonly [Symbol.toStringTag]: string
}

/** What a fetch of many keys brings. */
export type FetchedMany<T> =
  | ReadonlyMap<Key, T | Fetched<T> | undefined>
  | ReadonlyMap<string, T | Fetched<T> | undefined>
  | Readonly<Record<string, T | Fetched<T> | undefined>>

/** How the results of a function are cached. */
export interface CachedOptions<Args extends unknown[] = never[]> extends Omit<StoreOptions, 'tags'> {
  /**
   * The keys: a template, or a function of the arguments.
   *
   * In a template `{0}`, `{1}`, … are the arguments and `{name}` is a field of the only argument; `{{` and `}}` are
   * braces. Strings, numbers, booleans, bigints and null can stand in a key; what is not `A-Z a-z 0-9 _ . -` in them is
   * escaped, so that no two arguments meet in one key.
   *
   * Default: a key of the function's name (of a method: its class and name) and its arguments, which must then be plain
   * data. Two functions of one name in a cache are refused.
   */
  key?: string | ((...args: Args) => Key) | undefined
  /** The tags of results: templates as those of `key`, or a function of the arguments. */
  tags?: Iterable<string> | ((...args: Args) => Iterable<string>) | null | undefined
}

/**
 * A function like `fn` with its results cached, by `getOrFetch`.
 *
 * @example
 * const getUser = cached(cache, { key: 'user:{0}', ttl: 300 }, async (id: number) => db.loadUser(id))
 *
 * @throws {InvalidOption} for a wrong template, and for a function without a name that has no `key`
 */
export function cached<This, Args extends unknown[], R>(
  cache: CacheService,
  options: number | CachedOptions<Args> | null | undefined,
  fn: (this: This, ...args: Args) => R,
): (this: This, ...args: Args) => Promise<Value<Awaited<R>>>

/** The value of what a fetch gives. */
export type Value<R> = R extends Fetched<infer T> ? T : R

/** Decorates async methods: see `Cached`. */
export interface CachedDecorator {
  /** A decorator of the standard. */
  <This, Args extends unknown[], R>(
    method: (this: This, ...args: Args) => Promise<R>,
    context: ClassMethodDecoratorContext<This, (this: This, ...args: Args) => Promise<R>>,
  ): (this: This, ...args: Args) => Promise<R>
  /** A decorator of TypeScript's `experimentalDecorators`. */
  <Args extends unknown[], R>(
    target: object,
    name: string | symbol,
    descriptor: TypedPropertyDescriptor<(...args: Args) => Promise<R>>,
  ): TypedPropertyDescriptor<(...args: Args) => Promise<R>>
}

/**
 * A decorator of async methods whose results are to be cached, by `getOrFetch`. For standard decorators and for
 * TypeScript's `experimentalDecorators`.
 *
 * The key says nothing of the object on which the method is called; where that matters, give a `key` function, which is
 * called on it.
 *
 * @example
 * class Users {
 *   \@Cached(cache, { key: 'user:{0}', ttl: 300 })
 *   async getUser(id: number): Promise<User> { … }
 * }
 */
export function Cached(
  cache: CacheService,
  options?: number | CachedOptions<any[]> | null,
): CachedDecorator
