import { readFileSync } from 'node:fs'
import path from 'node:path'

import { Runner, checkFields } from './runner.mjs'
import { parse } from './values.mjs'

/** Ends a scenario that hangs, in ms. */
const SCENARIO_TIME = 120_000

let prefixes = 0

/** Runs one file; `why` is empty where all went as it should. */
export async function runFile(file, url) {
  let name = path.basename(file, '.json')
  let runner
  let why = ''
  let timer
  try {
    const scenario = parse(readFileSync(file, 'utf8'))
    checkFields(scenario, ['name', 'about', 'options', 'steps'], 'a scenario')
    name = scenario.name || name
    prefixes += 1
    runner = new Runner({ url, prefix: `node-${process.pid}-${prefixes}` })
    await Promise.race([
      runScenario(runner, scenario),
      new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`it did not end within ${SCENARIO_TIME} ms`)), SCENARIO_TIME)
      }),
    ])
  } catch (error) {
    why = String(error?.message ?? error)
  } finally {
    clearTimeout(timer)
    await runner?.closeAll()
  }
  return { name, why }
}

async function runScenario(runner, scenario) {
  await runner.open('a', scenario.options ?? {})
  await runner.steps(scenario.steps ?? [])
}
