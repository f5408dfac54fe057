import { MemoryCache } from 'scrubjay'
{
  const cache = new MemoryCache({ max: 10, maxBytes: 1e6 })
  for (let key = 0; key < 1000; key++) { cache.set(key, `v${key}`); if (key < 14) console.log(key, cache.size) }
  console.log(cache.size, cache.stats())
}
