// Brings the oldest and the newest Node.js that the package runs on to target/, for the tests that depend on what a
// compiler of V8 makes of our JavaScript. Where the registry cannot be reached they run on this Node.js alone.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'

const target = path.resolve(import.meta.dirname, '../../target')

/** The first of the oldest line that `engines` allows, and the last of the newest. */
for (const version of ['20.0.0', '26.10.0']) {
  const folder = path.join(target, `node-${version}`)
  if (existsSync(path.join(folder, 'node_modules/node/bin/node'))) continue
  mkdirSync(folder, { recursive: true })
  try {
    execFileSync('npm', ['install', '--prefix', folder, `node@${version}`, '--no-audit', '--no-fund', '--silent', '--fetch-retries=1'], { stdio: 'ignore', timeout: 300_000 })
  } catch {
    console.log(`Node.js ${version} cannot be had here: its tests are not run`)
  }
}
