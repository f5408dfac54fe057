// The worker of Node.js of `make crash`: see `tests/proof/crash/protocol.py`.

import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../..')
const { CacheService } = await import(path.join(root, 'bindings-node/lib/index.mjs'))

// As in each language: so many keys of values and one of changes.
const KEYS = 3
const DRAIN_SECONDS = 60
const KINDS = { set: 's', delta: 'd' }

const config = JSON.parse(process.argv[2])
if (config.ack_first) throw new Error('a control of the worker of Rust')

/** Says a line to the parent, at once and whole. */
function say(line) {
  const bytes = Buffer.from(`${line}\n`)
  for (let done = 0; done < bytes.length; ) done += fs.writeSync(1, bytes, done)
}

const camel = (name) => name.replace(/_(.)/g, (_, letter) => letter.toUpperCase())
const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const renamed = (fields, rename) => Object.fromEntries(Object.entries(fields).map(([name, value]) => [rename(name), value]))

const { name, ...options } = renamed(config.behind, camel)
const behind = new CacheService(config.url, config.prefix).writeBehind(name, options)
let quiet = false
let confirm = () => {}

/** Writes these, and waits until the truth has them. */
async function write(writes) {
  const rows = writes.map((one) => `${KINDS[one.kind]},${one.key},${one.value.v},${one.process},${one.sequence}`)
  const confirmed = new Promise((resolve) => (confirm = resolve))
  say(`w ${rows.join(' ')}`)
  await confirmed
}

/** Writes behind, and says what was acknowledged, until it is told to be quiet. */
async function produce(caller) {
  for (let version = config.version + 1; !quiet; version++) {
    const number = version % (KEYS + 1)
    const key = `${config.name}:${caller}:${number}`
    const value = { v: version, pad: 'x'.repeat(config.padding) }
    const changes = config.changes || number === KEYS
    try {
      if (changes) await behind.delta(key, value)
      else await behind.set(key, value, 600)
      say(`a ${changes ? 'd' : 's'} ${key} ${version}`)
    } catch (error) {
      say(`f ${error.code ?? error.name}`)
      // Its reasons do not go away by asking again at once.
      await sleep(20)
    }
    await sleep(config.pause_ms)
  }
}

say('ready')
const working = config.works ? behind.run(write) : undefined
working?.catch((error) => {
  console.error(error)
  process.exit(1)
})
const producers = Array.from({ length: config.producers }, (_, caller) => produce(caller))
if (config.stats_ms) setInterval(() => say(`s ${JSON.stringify(renamed(behind.stats(), snake))}`), config.stats_ms)

for await (const word of readline.createInterface({ input: process.stdin })) {
  if (word === 'ok') confirm()
  else if (word === 'quiet') {
    quiet = true
    Promise.all(producers).then(() => say('q'))
  } else if (word === 'close') {
    behind.close({ timeout: DRAIN_SECONDS }).then((report) => say(`c ${report.left} ${report.dead}`))
  } else if (word === 'end') process.exit(0)
  else throw new Error(`what is ${word}?`)
}
