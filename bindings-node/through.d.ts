import type { Codec, FetchContext, Fetched, Key, Receipt } from './index.js'

/**
 * What a cache stands before: a table, a service. It must have a `load` or a `store`; what needs a method that it lacks
 * rejects with `Unsupported`. Methods may be async or not.
 */
export interface Source<V, K = Key> {
  /** The value of a key. Throw `NotFound` where there is none: that is remembered for `negativeTtl`. */
  load?(key: K, context: FetchContext): V | Fetched<V> | PromiseLike<V | Fetched<V>>
  /** A Map, or an object, of those of the keys that there are. By default one `load` after the other. */
  loadMany?(keys: K[], context: FetchContext): LoadedMany<V, K> | PromiseLike<LoadedMany<V, K>>
  /** Stores a value. When this has ended, the source has it. */
  store?(key: K, value: V, context: FetchContext): unknown
  /** Removes a key. */
  remove?(key: K, context: FetchContext): unknown
}

/** What `loadMany` brings. */
export type LoadedMany<V, K = Key> = ReadonlyMap<K, V | Fetched<V> | undefined> | Readonly<Record<string, V | Fetched<V> | undefined>>

/** How a source is bound to a cache. */
export interface WriteThroughOptions<K = Key> {
  /** How long a value is fresh, in seconds: 0.001 to 31536000 (365 days). Default: the `ttl` of the cache. */
  ttl?: number | undefined
  /** What values are stored as. Default: the `codec` of the cache. */
  codec?: Codec | undefined
  /** The tags of all its values. */
  tags?: Iterable<string> | null | undefined
  /** Makes the key in the cache of what the source is asked for. Default: that is the key. */
  key?: ((key: K) => Key) | undefined
  /**
   * For how long nothing is stored should a writer die, in seconds: 0.1 to 3600. Default 30. It must be longer than the
   * slowest write.
   */
  intentTtl?: number | undefined
  /**
   * For how long nothing is stored after a write, in seconds: where `load` reads a replica, the bound of its lag. The value
   * of the write is not stored either then.
   */
  hold?: number | undefined
  /** Do not write where the shared tier cannot be told of it. Default false. */
  strict?: boolean | undefined
}

/** How one call of a source goes. */
export interface SourceCallOptions {
  /** Gives up waiting. A write that runs is told by its own `signal`, and its end is waited for. */
  signal?: AbortSignal | undefined
}

/**
 * A source behind a cache: made by `cache.writeThrough`.
 *
 * A write goes to the source first, and then into the cache. Writes of one key in one process follow one another in the
 * order in which they were asked for, each when the one before has ended. From before a write begins until it has ended
 * nothing that is loaded is stored under its key, in any process. When writers of several processes meet on a key, it
 * is left invalidated, since nobody knows whose value the source got last. A write that fails leaves it so too: the cache
 * is never ahead of the source.
 */
export interface WriteThrough<V, K = Key> {
  readonly source: Source<V, K>

  /**
   * The value of a key, from the cache or else from the source, with one load for all who ask; undefined where the source
   * has none.
   */
  get(key: K, options?: SourceCallOptions): Promise<V | undefined>

  /**
   * The values of many keys, with one `loadMany` for those that nobody has or loads. Keys without a value are left out.
   * @throws {PartialError} where some failed
   */
  getMany(keys: Iterable<K>, options?: SourceCallOptions): Promise<Map<K, V>>

  /**
   * Stores a value in the source, and then in the cache. What `store` throws is thrown unchanged; the key is invalidated
   * then.
   * @throws {InvalidKey | InvalidValue | InvalidOption | Closed} before the source is asked; `Closed` also after it
   * @throws {Overloaded} too many writes wait for their turn
   * @throws {RecursiveFetch} it would wait for the write inside which it is made
   */
  set(key: K, value: V, options?: SourceCallOptions): Promise<Receipt>

  /** Removes a key from the source, and invalidates it. As `set`. */
  delete(key: K, options?: SourceCallOptions): Promise<Receipt>
}
