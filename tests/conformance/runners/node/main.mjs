// The conformance runner of the Node.js package.
//
//   node main.mjs --corpus ../.. --redis redis://localhost:6379 --out result.json
//   node main.mjs --agent
//
// The first form runs every scenario in memory and over the Redis. The second reads steps from standard input, one a
// line, and answers each with a line: see agent.mjs.

import { readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'

import { runAgent } from './agent.mjs'
import { runFile } from './scenario.mjs'

async function runCorpus(corpus, redis, out) {
  const files = readdirSync(corpus).filter((name) => name.endsWith('.json')).sort()
  if (files.length === 0) throw new Error(`no scenario in ${corpus}`)
  if (!redis) throw new Error('--redis is missing')
  const results = []
  for (const file of files) {
    for (const [backend, url] of [['memory', 'memory://'], ['redis', redis]]) {
      const { name, why } = await runFile(path.join(corpus, file), url)
      results.push({ language: 'node', backend, scenario: name, ok: why === '', why })
      console.log(`conformance node ${backend} ${name} ${why === '' ? 'ok' : `FAILED: ${why}`}`)
    }
  }
  if (out) writeFileSync(out, `${JSON.stringify(results, undefined, 2)}\n`)
  const failed = results.filter((result) => !result.ok).length
  console.log(`${results.length - failed} passed, ${failed} failed`)
  return failed
}

const { values } = parseArgs({
  options: {
    corpus: { type: 'string', default: '' },
    redis: { type: 'string', default: '' },
    out: { type: 'string', default: '' },
    agent: { type: 'boolean', default: false },
  },
})

if (values.agent) {
  await runAgent(process.stdin, process.stdout)
} else {
  try {
    const failed = await runCorpus(values.corpus, values.redis, values.out)
    process.exitCode = failed > 0 ? 1 : 0
  } catch (error) {
    console.error(error.message)
    process.exitCode = 2
  }
}
