// What a decoded copy takes in V8 for each byte of its JSON: the figures behind `copy_weight` of the core.
//
//   node --expose-gc benches/memory/node/copies.mjs

const { gc } = globalThis

const documents = {
  'a number': (n) => n,
  'a short text': (n) => `user ${n}`,
  'a flag': () => true,
  'user, 100 B': (n) => ({ id: n, name: `Ada Lovelace ${n}`, email: `ada${n}@example.org`, active: true, score: 12.5 }),
  'user, 300 B': (n) => ({
    id: n, name: `Ada Lovelace ${n}`, email: `ada${n}@example.org`, roles: ['admin', `editor ${n}`],
    address: { street: `${n} Main Street`, city: 'London', zip: `0${n}`, country: 'GB' }, created: '2026-11-26T17:04:38Z', visits: n, balance: n / 7,
    settings: { theme: 'dark', language: 'en', beta: false },
  }),
  'list of records, 1 KB': (n) => Array.from({ length: 16 }, (_, at) => ({ id: n + at, sku: `SKU-${n}-${at}`, price: at + 0.99, stock: at })),
  'list of records, 10 KB': (n) => Array.from({ length: 160 }, (_, at) => ({ id: n + at, sku: `SKU-${n}-${at}`, price: at + 0.99, stock: at })),
  'whole numbers, 1 KB': (n) => Array.from({ length: 200 }, (_, at) => n + at),
  'floats, 1 KB': (n) => Array.from({ length: 60 }, (_, at) => (n + at) / 7),
  'words, 1 KB': (n) => Array.from({ length: 100 }, (_, at) => `w${n}${at}`),
  'text, 1 KB': (n) => `${n}`.padEnd(1000, 'lorem ipsum '),
  'text that is not Latin, 1 KB': (n) => `${n}`.padEnd(500, 'текст '),
  'nested pairs, 1 KB': (n) => Array.from({ length: 20 }).reduce((inner, _, at) => ({ [`level${at}`]: inner, at: n }), null),
  'records by name, 2 KB': (n) => Object.fromEntries(Array.from({ length: 40 }, (_, at) => [`key-${n}-${at}`, { value: at, at: n }])),
}

/** Bytes in use, when V8 has collected what it can. */
async function used() {
  for (let time = 0; time < 3; time++) {
    gc()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return process.memoryUsage().heapUsed
}

for (const [name, make] of Object.entries(documents)) {
  // Both are global, so that neither is collected before it was counted.
  const encoded = JSON.stringify(make(54_321)).length
  const count = Math.max(500, Math.min(50_000, Math.round(4e6 / encoded)))
  const texts = globalThis.texts = Array.from({ length: count }, (_, index) => JSON.stringify(make(50_000 + index)))
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / count
  const copies = globalThis.copies = new Array(count).fill(0)
  const before = await used()
  for (let index = 0; index < count; index++) copies[index] = JSON.parse(texts[index])
  const copy = (await used() - before) / count
  console.log(name.padEnd(30), `${bytes.toFixed(0)} B of JSON`.padStart(18), `${copy.toFixed(0)} B decoded`.padStart(18), (copy / bytes).toFixed(2).padStart(8))
  globalThis.texts = globalThis.copies = undefined
}
