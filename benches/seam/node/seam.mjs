// Reads and writes that go to Redis, through Scrubjay and through clients of Redis.
//
// seam.mjs OUTPUT.json     REDIS: the server's address; SCALE: 1 = the full figure
//
// Every subject reads the same values from the same server by keys of its own, in rounds that take turns; ours has its
// memory tier off. Keys are drawn outside of the timed loop, and the last value of each caller is checked.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'

const fromPeers = createRequire(`${process.env.PEERS}/package.json`)
const { CacheService } = createRequire(`${process.env.PACKAGE}/package.json`)(process.env.PACKAGE)

const REDIS = process.env.REDIS
const SCALE = Number(process.env.SCALE ?? 1)
const ROUNDS = Math.max(5, Math.round(11 * Math.min(1, SCALE)))
const CALLS = 8_000
const TTL = 3600
const SIZES = { '100B': 100, '10KB': 10_000 }
const NAMES = Array.from({ length: 1_000 }, (_, index) => `user:${String(index).padStart(8, '0')}`)
const UNITS = { ops_per_s: '1/s', p50_us: 'us', p99_us: 'us', cpu_us: 'us', loop_delay_p99_us: 'us' }

const valueOf = (key, size) => Buffer.from(key.padEnd(size, '.'))
const draw = (count) => Array.from({ length: count }, () => NAMES[Math.floor(Math.random() * NAMES.length)])

/** Every subject: how it reads, reads many, and writes. Keys of the peers have the size in front. */
async function open(label) {
  const theirs = (key) => `${label}:${key}`
  const ours = new CacheService(REDIS, `bench${label}`, { l1Bytes: 0 })
  const { Redis } = fromPeers('ioredis')
  const { createClient, RESP_TYPES } = fromPeers('redis')
  const { GlideClient, Decoder } = fromPeers('@valkey/valkey-glide')
  const { hostname: host, port } = new URL(REDIS)
  const plain = new Redis(REDIS)
  const piped = new Redis(REDIS, { enableAutoPipelining: true })
  const node = await createClient({ url: REDIS }).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).connect()
  const glide = await GlideClient.createClient({ addresses: [{ host, port: Number(port) }], requestTimeout: 10_000 })
  const bytes = { decoder: Decoder.Bytes }
  const ioredis = (client) => ({
    get: (key) => client.getBuffer(theirs(key)),
    many: (keys) => client.mgetBuffer(keys.map(theirs)),
    set: (key, value) => client.set(theirs(key), value, 'EX', TTL),
    close: () => client.quit(),
  })
  const subjects = {
    scrubjay: {
      get: (key) => ours.get(key),
      many: async (keys) => [...(await ours.getMany(keys)).values()],
      set: (key, value) => ours.set(key, value, { ttl: TTL }),
      load: (key, fetch) => ours.getOrFetch(key, TTL, fetch),
      close: () => ours.close(),
    },
    ioredis: ioredis(plain),
    'ioredis+autopipelining': ioredis(piped),
    'node-redis': {
      get: (key) => node.get(theirs(key)),
      many: (keys) => node.mGet(keys.map(theirs)),
      set: (key, value) => node.set(theirs(key), value, { expiration: { type: 'EX', value: TTL } }),
      close: () => node.close(),
    },
    'valkey-glide': {
      get: (key) => glide.get(theirs(key), bytes),
      many: (keys) => glide.mget(keys.map(theirs), bytes),
      set: (key, value) => glide.set(theirs(key), value, { expiry: { type: 'EX', count: TTL } }),
      close: () => glide.close(),
    },
  }
  for (const subject of Object.values(subjects)) subject.load ??= (key, fetch) => byHand(subject, key, fetch)
  return subjects
}

/** Loads as programs do that have a client and no cache: they read, fetch and write. */
async function byHand(subject, key, fetch) {
  const found = await subject.get(key)
  if (found !== null) return found
  const value = await fetch()
  await subject.set(key, value)
  return value
}

/** One timed round: each list of what is asked for is worked off by a caller of its own. */
async function round(asked, call, check) {
  const times = []
  const last = []
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  const cpu = process.cpuUsage()
  const begun = process.hrtime.bigint()
  await Promise.all(asked.map(async (list, caller) => {
    for (const one of list) {
      const start = process.hrtime.bigint()
      last[caller] = await call(one)
      times.push(Number(process.hrtime.bigint() - start))
    }
  }))
  const wall = Number(process.hrtime.bigint() - begun)
  const { user, system } = process.cpuUsage(cpu)
  delay.disable()
  asked.forEach((list, caller) => check(last[caller], list.at(-1)))
  times.sort((a, b) => a - b)
  return {
    ops_per_s: times.length / wall * 1e9,
    p50_us: times[times.length >> 1] / 1e3,
    p99_us: times[Math.floor(times.length * 0.99)] / 1e3,
    cpu_us: (user + system) / times.length,
    loop_delay_p99_us: delay.percentile(99) / 1e3,
  }
}

const figures = new Map()
/** So many keys were loaded that were not there. */
let loads = 0

/** The rounds of one case, each beginning with another subject; the first is a warm-up. */
async function measure(name, subjects, asked, call, check) {
  const names = Object.keys(subjects)
  for (let number = -1; number < ROUNDS; number++) {
    for (let turn = 0; turn < names.length; turn++) {
      const subject = names[(number + 1 + turn) % names.length]
      const metrics = await round(asked(), (one) => call(subjects[subject], one), check)
      for (const [metric, figure] of number < 0 ? [] : Object.entries(metrics)) {
        const id = JSON.stringify([name, subject, metric])
        figures.set(id, [...figures.get(id) ?? [], figure])
      }
    }
  }
}

function same(found, wanted, who) {
  if (!Buffer.isBuffer(found) || !found.equals(wanted)) throw new Error(`${who}: a wrong value`)
}

/** Runs work while no processor can fall asleep. */
async function awake(work) {
  const spinners = spawn('python3', [fileURLToPath(new URL('../awake.py', import.meta.url))], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(spinners.stdout, 'data')
  await work()
  spinners.stdin.end()
  await once(spinners, 'exit')
}

for (const [label, size] of Object.entries(SIZES)) {
  const subjects = await open(label)
  for (const subject of Object.values(subjects)) {
    await Promise.all(NAMES.map((key) => subject.set(key, valueOf(key, size))))
  }
  const check = (found, key) => same(found, valueOf(key, size), label)
  for (const callers of size === 100 ? [1, 8, 64, 512] : [64]) {
    const count = Math.max(5, Math.round(CALLS * SCALE / callers))
    const asked = () => Array.from({ length: callers }, () => draw(count))
    const run = () => measure(`node/l2-get-${callers}x${label}`, subjects, asked, (subject, key) => subject.get(key), check)
    await (callers === 1 ? awake(run) : run())
  }
  if (size === 100) {
    const hundreds = () => [Array.from({ length: Math.max(5, Math.round(100 * SCALE)) }, () => [...new Set(draw(400))].slice(0, 100))]
    const checkMany = (found, keys) => keys.forEach((key, index) => check(found[index], key))
    await awake(() => measure('node/l2-get-many-100', subjects, hundreds, (subject, keys) => subject.many(keys), checkMany))
    const singles = () => [draw(Math.max(20, Math.round(2_000 * SCALE)))]
    await awake(() => measure('node/l2-set-1x100B', subjects, singles, (subject, key) => subject.set(key, valueOf(key, size)), () => {}))
    const absent = () => [Array.from({ length: Math.max(20, Math.round(1_000 * SCALE)) }, () => `cold:${String(++loads).padStart(8, '0')}`)]
    const load = (subject, key) => subject.load(key, async () => valueOf(key, size))
    await awake(() => measure('node/cold-get-or-fetch-1x100B', subjects, absent, load, check))
  }
  for (const subject of Object.values(subjects)) await subject.close()
}

const median = (numbers) => numbers.sort((a, b) => a - b)[numbers.length >> 1]
const records = [...figures].map(([id, rounds]) => {
  const [name, subject, metric] = JSON.parse(id)
  return { case: name, subject, metric, value: Number(median(rounds).toFixed(2)), unit: UNITS[metric], repeats: rounds.length }
})
for (const { case: name, subject, metric, value } of records) {
  console.log(name.padEnd(24), subject.padEnd(24), value.toFixed(1).padStart(12), metric)
}
writeFileSync(process.argv[2], `${JSON.stringify(records, null, 1)}\n`)
process.exit()
