// The worker of Node.js of `make witness`: it reads and writes the keys of the truth through a cache, and writes down what
// it was given. `tests/proof/witness` starts it, with its configuration as the argument.

import readline from 'node:readline'

import { readLast, readOn } from './reader.mjs'
import { Worker, sleep } from './worker.mjs'
import { watchLanding, writeOn } from './writer.mjs'

const config = JSON.parse(process.argv[2])
const worker = await Worker.start(config)
const landing = setInterval(() => watchLanding(worker), 20)
let readers = []
let writer

async function obey(word) {
  switch (word) {
    case 'go':
      readers = Array.from({ length: config.readers }, (_, number) => readOn(worker, config.seed * 1000 + number))
      writer = writeOn(worker, config.seed * 1000 + 999)
      break
    case 'quiet':
      worker.writing = false
      await writer
      while (worker.pending) await sleep(20)
      break
    case 'rest':
      worker.reading = false
      await Promise.all(readers)
      break
    case 'last':
      await readLast(worker)
      break
    default:
      throw new Error(`what is ${word}?`)
  }
  console.log(word)
}

console.log('ready')
for await (const word of readline.createInterface({ input: process.stdin })) await obey(word)
clearInterval(landing)
worker.log.close()
worker.truth.close()
await worker.cache.close()
