// What TypeScript makes of the package, from an ES module: checked by tsc, never run.

import {
  CacheService, Cached, MemoryCache, NotFound, PartialError, Rejected, ScrubjayError, WriteBehind, cached, fetched as adaptively,
  type CacheOptions, type CachedFunction, type Codec, type ErrorCode, type Explanation, type Receipt, type SharedOptions, type Stats,
} from 'scrubjay'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
function same<A, B>(_: Equal<A, B>): void {}

interface User { id: number, name: string }
declare const load: (id: number) => Promise<User>

const options: CacheOptions = { ttl: 60, maxStaleness: 0.5, l1Bytes: 1 << 20, codec: 'msgpack', staleFor: null }
const shared: SharedOptions = { url: 'redis://localhost', prefix: 'shop', max_staleness: 0.5 }
const cache = new CacheService('redis://localhost:6379', 'shop', options)
new CacheService()
new CacheService(new URL('redis://localhost'), 'shop')
new CacheService(shared.url, shared.prefix, shared)
// @ts-expect-error: not an option
new CacheService('memory://', '', { maxStalenes: 1 })
// @ts-expect-error: seconds, not text
new CacheService('memory://', '', { ttl: '60' })

const user = await cache.get<User>('user:7')
same<typeof user, User | undefined>(true)
const anything = await cache.get('user:7')
same<typeof anything, unknown>(true)
const now = cache.getSync<User>(Buffer.from('user:7'))
same<typeof now, User | undefined>(true)
// @ts-expect-error: no key
await cache.get(7)

const receipt: Receipt = await cache.set('user:7', { id: 7 }, 300)
same<typeof receipt.pending, boolean>(true)
cache.observe(receipt.token, 'user:7')
cache.observe(receipt.token, [Buffer.from('user:7'), 'user:8'])
same<ReturnType<typeof cache.observe>, void>(true)
// @ts-expect-error: no keys
cache.observe(receipt.token)
await cache.set('user:7', Buffer.alloc(3))
await cache.set('user:7', { id: 7 }, { ttl: 300, codec: 'msgpack' })
// @ts-expect-error: bytes are raw by themselves
await cache.set('user:7', { id: 7 }, { codec: 'raw' })
await cache.set('user:7', { id: 7 }, { tags: ['users'] })
// @ts-expect-error: not an option
await cache.set('user:7', { id: 7 }, { tag: 'users' })
await cache.invalidateTags(new Set(['users']))
const tagged = await cache.getOrFetch('user:7', 60, async () => adaptively({ id: 7 }, { ttl: 5, tags: ['users'] }))
same<typeof tagged, { id: number }>(true)
const adaptive = cached(cache, { key: 'user:{0}', tags: ['user:{0}'] }, async (id: number) => adaptively(id))
same<typeof adaptive, CachedFunction<unknown, [id: number], number>>(true)

const updated = await cache.update(['user:7', Buffer.from('user:8')], async ({ signal }) => signal.aborted, { intentTtl: 5, hold: 1, strict: true })
same<typeof updated.value, boolean>(true)
same<typeof updated.receipt, Receipt>(true)
// @ts-expect-error: not an option
await cache.update(['user:7'], () => 7, { intent_ttl: 5 })
const explained: Explanation = await cache.explain('user:7')
same<typeof explained.tier, 'l1' | 'l2' | null>(true)

const loaded = await cache.getOrFetch('user:7', 300, () => load(7))
same<typeof loaded, User>(true)
const sync = await cache.getOrFetch('seven', { ttl: 300, codec: 'json' }, () => 7, { signal: AbortSignal.timeout(5) })
same<typeof sync, number>(true)
const byDefault = await cache.getOrFetch('seven', undefined, async ({ signal }) => signal.aborted)
same<typeof byDefault, boolean>(true)
const maybe = await cache.getOrFetch('seven', null, async (): Promise<User | null> => null)
same<typeof maybe, User | null>(true)
// @ts-expect-error: there is no fetch
await cache.getOrFetch('seven', 300)

const many = await cache.getMany<User>(['user:7', 'user:8'])
same<typeof many, Map<string, User>>(true)
await cache.setMany(new Map([['a', 1], ['b', 2]]), 60)
await cache.setMany({ a: 1 }, { ttl: 60 })
await cache.setMany([['a', 1], ['b', 'two']])
await cache.deleteMany(new Set(['a']))
const fetched = await cache.getOrFetchMany(['a', 'b'], 60, async (missing, { signal }) => {
  same<typeof missing, string[]>(true)
  signal.throwIfAborted()
  return Object.fromEntries(missing.map((key) => [key, key.length]))
})
same<typeof fetched, Map<string, number>>(true)
await cache.getOrFetchMany(['a', 'b'], 60, (missing) => new Map(missing.map((key) => [key, 1])))

const stats: Stats = cache.stats()
same<typeof stats.breaker_state, 'closed' | 'open' | 'half_open'>(true)
same<ReturnType<typeof cache.close>, Promise<Receipt>>(true)

const sessions = new MemoryCache<User>({ max: 1000, ttl: 60, onEvict: (value, key, reason) => {
  same<typeof value, User>(true)
  same<typeof key, string>(true)
  same<typeof reason, 'capacity' | 'expired' | 'replaced' | 'removed' | 'cleared'>(true)
} })
sessions.set('a', { id: 7, name: 'Ada' }).set('b', { id: 8, name: 'Grace' }, { ttl: 5, size: 100 })
const session = sessions.get('a')
same<typeof session, User | undefined>(true)
for (const [key, value] of sessions) same<[typeof key, typeof value], [string, User]>(true)
same<ReturnType<typeof sessions.ttl>, number | undefined>(true)
// @ts-expect-error: the values are users
sessions.set('a', 7)
// @ts-expect-error: not an option
new MemoryCache({ maxSize: 7 })
const byNumber = new MemoryCache<string, number>({ maxBytes: 1 << 20, sizeOf: (value, key) => value.length + key })
byNumber.set(7, 'seven', 60)
const anyValue = new MemoryCache()
same<ReturnType<typeof anyValue.get>, unknown>(true)

const getUser = cached(cache, { key: 'user:{0}', ttl: 300 }, load)
same<typeof getUser, CachedFunction<unknown, [id: number], User>>(true)
const plain: (id: number) => Promise<User> = getUser
same<ReturnType<typeof plain>, Promise<User>>(true)
const refreshed = await getUser.refresh(7)
same<typeof refreshed, User>(true)
same<ReturnType<typeof getUser.getKey>, import('scrubjay').Key>(true)
same<ReturnType<typeof getUser.invalidate>, Promise<Receipt>>(true)
// @ts-expect-error: the argument is a number
getUser.getKey('7')
cached(cache, { name: 'user', ttl: (id: number) => id, unless: (user) => same<typeof user, User>(true), cacheErrors: TypeError }, load)
cached(cache, { name: 'user', cacheErrors: [TypeError, RangeError] }, load)
cached(cache, { name: 'user', cacheErrors: (error) => error instanceof TypeError }, load)
// @ts-expect-error: not an option
cached(cache, { name: 'user', unles: () => true }, load)
adaptively(7, { keep: false })
const byFunction = cached(cache, { key: (id: number) => `user:${id}` }, (id: number) => ({ id }))
same<Awaited<ReturnType<typeof byFunction>>, { id: number }>(true)
cached(cache, 300, load)
// @ts-expect-error: the argument is a number
await getUser('7')

const users = cache.writeThrough({ load, store: async (_id: number, _user: User) => {} }, { ttl: 300, key: (id: number) => `user:${id}` })
same<Awaited<ReturnType<typeof users.get>>, User | undefined>(true)
same<Awaited<ReturnType<typeof users.getMany>>, Map<number, User>>(true)
// @ts-expect-error: the key is a number
await users.set('7', { id: 7, name: 'Ada' })
await cache.update([], () => 1, { tags: ['users'] })

const behind = cache.writeBehind('stock', async (writes) => writes.map((write) => new Rejected(write, 'no')), { ack: 'memory', onFull: 'reject' })
same<Awaited<ReturnType<typeof behind.set>>, Receipt | undefined>(true)
for await (const writes of behind) same<(typeof writes)[number]['kind'], 'set' | 'delete' | 'delta'>(true)
cache.writeBehind('stock', { directory: '/var/lib/stock' }).run((writes) => { behind.ack(writes) }, { linger: 1 })
// @ts-expect-error: a writer returns rejections, or nothing
cache.writeBehind('stock', (writes) => writes)
// @ts-expect-error: it is made by a cache
new WriteBehind()

try {
  await cache.getOrFetchMany(['a'], 60, () => { throw new NotFound('no such user') })
} catch (error) {
  if (error instanceof PartialError) same<typeof error.failed, Map<import('scrubjay').Key, unknown>>(true)
  if (error instanceof ScrubjayError) same<typeof error.code, ErrorCode>(true)
}

const codec: Codec = 'json'
export { codec, Cached }

{
  await using closing = new CacheService()
  await closing.get('k')
}
