import { MemoryCache } from 'scrubjay'
const c = new MemoryCache({ max: 3, ttl: 0.1, onEvict: (v, k, r) => console.log('left', k, v, r) })
c.set('a', 1).set('b', 2).set('c', 3).set('d', 4, 5)
console.log([...c], c.size, c.get('a'), c.get('d'), c.ttl('d'), c.stats())
c.set('d', 5); c.delete('b')
await new Promise(r => setTimeout(r, 200))
console.log([...c], c.size, c.stats())
for (const bad of [{ max: 0 }, { maxBytes: -1 }, { ttl: 0 }, { ttl: '1' }, { foo: 1 }, { max: 2 ** 24 }, { onEvict: 3 }]) try { new MemoryCache(bad) } catch (e) { console.log(e.message) }
