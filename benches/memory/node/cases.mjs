// What is compared. A case has a set of keys, and subjects that are made with all of them inside; a subject has a loop
// that runs one operation many times and gives its last result, and `check` looks at that.

import { createRequire } from 'node:module'

const fromPeers = createRequire(`${process.env.PEERS}/package.json`)
const { CacheService, MemoryCache } = createRequire(`${process.env.PACKAGE}/package.json`)(process.env.PACKAGE)

/** More than any case has in its cache, unless it is about eviction. */
const ROOM = 100_000
/** Seconds. Every cache looks at it at each hit. */
const TTL = 3600

const KEYS = Array.from({ length: 10_000 }, (_, index) => `user:${String(index * 7919).padStart(11, '0')}`)
const valueOf = (key) => ({ id: key, name: 'Ada Lovelace', roles: ['admin', 'editor'], visits: 1843 })
const hot = (round) => KEYS[(round * 7) % KEYS.length]
const checkHit = (value, round) => value?.id === hot(round)

/** A loop of its own for each subject, so that none meets what the compiler has learnt of another. */
const loop = (body) => new Function('cache', 'key', 'count', `let value; for (let i = 0; i < count; i++) value = ${body}; return value`)
const awaiting = (body) => new Function('cache', 'key', 'count', `return (async () => { let value; for (let i = 0; i < count; i++) value = await ${body}; return value })()`)

const peers = {
  'lru-cache+ttl': (max = ROOM) => new (fromPeers('lru-cache').LRUCache)({ max, ttl: TTL * 1000 }),
  'tiny-lru+ttl': (max = ROOM) => fromPeers('tiny-lru').lru(max, TTL * 1000),
  'quick-lru': async (max = ROOM) => new (await peer('quick-lru')).default({ maxSize: max, maxAge: TTL * 1000 }),
  '@isaacs/ttlcache': (max = ROOM) => new (fromPeers('@isaacs/ttlcache').TTLCache)({ max, ttl: TTL * 1000 }),
}

/** Imports a peer that is an ES module only. */
function peer(name) {
  return import(fromPeers.resolve(name))
}

function withAll(cache) {
  for (const key of KEYS) cache.set(key, valueOf(key))
  return cache
}

async function withAllAwaited(cache, set = (key, value) => cache.set(key, value)) {
  for (const key of KEYS) await set(key, valueOf(key))
  return cache
}

const syncPeers = Object.fromEntries(Object.entries(peers).map(([name, make]) => {
  return [name, { make: async () => withAll(await make()), loop: () => loop('cache.get(key)') }]
}))

const mapGet = { make: () => withAll(new Map()), loop: () => loop('cache.get(key)') }

/** Sets that each evict one: twice as many keys as there is room for, in turn. */
const setting = {
  room: KEYS.length / 2,
  loop: () => new Function('cache', 'keys', 'count', 'const value = keys.length; let at = 0; for (let i = 0; i < count; i++) { cache.set(keys[at], i); if (++at === keys.length) at = 0 } return value'),
}

export const cases = {
  'node/get': {
    key: hot,
    check: checkHit,
    subjects: {
      scrubjay: { make: () => withAll(new MemoryCache({ max: ROOM, ttl: TTL })), loop: () => loop('cache.get(key)') },
      ...syncPeers,
      'Map.get': mapGet,
    },
  },
  'node/get-sync': {
    key: hot,
    check: checkHit,
    subjects: {
      scrubjay: { make: () => withAllAwaited(new CacheService()), loop: () => loop('cache.getSync(key)') },
      ...syncPeers,
      'Map.get': mapGet,
    },
  },
  'node/set': {
    key: () => KEYS,
    check: (value) => value === KEYS.length,
    subjects: {
      scrubjay: { make: () => new MemoryCache({ max: setting.room, ttl: TTL }), loop: setting.loop },
      ...Object.fromEntries(Object.entries(peers).map(([name, make]) => [name, { make: () => make(setting.room), loop: setting.loop }])),
      'Map.set': { make: () => new Map(), loop: setting.loop },
    },
  },
  'node/await-get': {
    key: hot,
    check: checkHit,
    subjects: {
      scrubjay: { make: () => withAllAwaited(new CacheService()), loop: () => awaiting('cache.get(key)') },
      'cache-manager': {
        make: async () => withAllAwaited((await peer('cache-manager')).createCache({ ttl: TTL * 1000 })),
        loop: () => awaiting('cache.get(key)'),
      },
      keyv: {
        make: async () => withAllAwaited(new (await peer('keyv')).Keyv({ ttl: TTL * 1000 })),
        loop: () => awaiting('cache.get(key)'),
      },
      bentocache: {
        make: async () => {
          const { BentoCache, bentostore } = await peer('bentocache')
          const { memoryDriver } = await peer('bentocache/drivers/memory')
          const cache = new BentoCache({
            default: 'memory', ttl: '1h', stores: { memory: bentostore().useL1Layer(memoryDriver({ maxItems: ROOM, maxSize: '64mb' })) },
          })
          return withAllAwaited(cache, (key, value) => cache.set({ key, value }))
        },
        loop: () => awaiting('cache.get({ key })'),
      },
      cacheable: {
        make: async () => withAllAwaited(new (await peer('cacheable')).Cacheable({ ttl: '1h' })),
        loop: () => awaiting('cache.get(key)'),
      },
      'Map.get': { make: mapGet.make, loop: () => awaiting('cache.get(key)') },
    },
  },
}
