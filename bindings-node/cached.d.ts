import type { CacheService, Fetched, Key, Receipt, StoreOptions } from './index.js'

/** How the results of a function are cached. */
export interface CachedOptions<Args extends unknown[] = never[], T = any> extends Omit<StoreOptions, 'tags' | 'ttl'> {
  /** How long a result is fresh, in seconds; or a function of the arguments. Where only the result tells, give `fetched`. */
  ttl?: number | null | undefined | ((...args: Args) => number | null | undefined)
  /**
   * The keys: a template, or a function of the arguments.
   *
   * In a template `{0}`, `{1}`, … are the arguments and `{name}` is a field of the only argument; `{0.id}`,
   * `{user.address.city}` and `{ids[0]}` lead into them; `{{` and `}}` are braces. Strings, numbers, booleans, bigints, null,
   * bytes, dates and URLs can stand in a key; what is not `A-Z a-z 0-9 _ . -` in them is escaped, so that no separator in one
   * imitates one of the template. A template does not tell 7 from "7".
   *
   * Default: a key of the function's name (of a method: its class and name) and its arguments, like `load(7,"se")`. No two
   * different calls share one, and it is the same in every process, language and release. A whole number up to 2^53 is an
   * integer, as a bigint is: 1.0 of other languages is a number that JavaScript does not have. Arguments must be plain data:
   * the above, arrays, plain objects, Map, Set, RegExp and typed arrays. Two functions of one name in a cache are refused.
   */
  key?: string | ((...args: Args) => Key) | undefined
  /** What default keys begin with, instead of the name of the function. The same name and arguments have the same key in every language. */
  name?: string | undefined
  /** The tags of results: templates as those of `key`, or a function of the arguments. */
  tags?: Iterable<string> | ((...args: Args) => Iterable<string>) | null | undefined
  /** Where it is true of a result, that is not kept. Those that wait for it get it too; what was kept before stays. */
  unless?: ((result: T) => unknown) | undefined
  /**
   * Which errors of the function are remembered, for the `negativeTtl` of the cache: callers within that time get `FetchFailed`
   * with the message, in every language, and the function is not run. Default: none, but `NotFound` always is.
   */
  cacheErrors?: ErrorClass | readonly ErrorClass[] | ((error: unknown) => unknown) | null | undefined
}

type ErrorClass = abstract new (...args: any[]) => Error

/** What a function has whose results are cached. */
export interface CachedMethods<Args extends unknown[], R> {
  /** The key under which the result for these arguments is kept. */
  getKey(...args: Args): Key
  /** The tags of the result for these arguments. */
  getTags(...args: Args): string[]
  /** Deletes the result for these arguments. */
  invalidate(...args: Args): Promise<Receipt>
  /**
   * Forgets the kept result, runs the function, and keeps what it gives: what was loaded before this call, here or in
   * another process, is neither given nor kept. Where the function fails nothing is kept.
   */
  refresh(...args: Args): Promise<R>
}

/** A function whose results are cached. */
export type CachedFunction<This, Args extends unknown[], R> = ((this: This, ...args: Args) => Promise<R>) & CachedMethods<Args, R>

/**
 * A function like `fn` with its results cached, by `getOrFetch`.
 *
 * @example
 * const getUser = cached(cache, { key: 'user:{0}', ttl: 300 }, async (id: number) => db.loadUser(id))
 * await getUser(7)
 * await getUser.invalidate(7)
 *
 * @throws {InvalidOption} for a wrong template, for a function without a name that has no `key` and no `name`, and for a
 * generator function, async or not: what it gives can be taken once only
 */
export function cached<This, Args extends unknown[], R>(
  cache: CacheService,
  options: number | CachedOptions<Args, Value<Awaited<R>>> | null | undefined,
  fn: (this: This, ...args: Args) => R,
): CachedFunction<This, Args, Value<Awaited<R>>>

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
 * await Cached.of(users, 'getUser').invalidate(7)
 */
export function Cached(
  cache: CacheService,
  options?: number | CachedOptions<any[]> | null,
): CachedDecorator

export namespace Cached {
  /**
   * What a cached method of an object, or a static one of a class, has beside being called.
   *
   * @throws {InvalidOption} where the method is not cached
   */
  function of<O extends object, K extends keyof O>(
    object: O,
    name: K,
  ): O[K] extends (...args: infer Args) => Promise<infer R> ? CachedMethods<Args, R> : never
}
