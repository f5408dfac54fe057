// Builds the addon and puts it where lib/native.js looks for it.
//
// SCRUBJAY_PROFILE: the cargo profile, default release. CARGO_TARGET_DIR is heeded; CARGO names another cargo.

import { execFileSync } from 'node:child_process'
import { copyFileSync, renameSync } from 'node:fs'
import path from 'node:path'

const here = path.resolve(import.meta.dirname, '..')
const profile = process.env.SCRUBJAY_PROFILE || 'release'
const cargo = process.env.CARGO || 'cargo'
execFileSync(cargo, ['build', '-p', 'scrubjay-node', '--profile', profile], { cwd: here, stdio: 'inherit' })

const { target_directory: target } = JSON.parse(
  execFileSync(cargo, ['metadata', '--no-deps', '--format-version', '1'], { cwd: here, encoding: 'utf8', maxBuffer: 1 << 26 }),
)
const library = path.join(target, profile === 'dev' ? 'debug' : profile, 'libscrubjay_node.so')
const addon = path.join(here, 'scrubjay.linux-x64-gnu.node')
// By rename: a process that has the old one loaded keeps it.
copyFileSync(library, `${addon}.new`)
renameSync(`${addon}.new`, addon)
