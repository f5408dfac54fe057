'use strict'

// Loads the addon, or says in one sentence why it cannot be loaded here.

const ADDON = '../scrubjay.linux-x64-gnu.node'

/** Whether this Node.js runs on musl: its report then names no glibc. */
function isMusl() {
  const before = process.report.excludeNetwork
  // Otherwise the report asks the resolver for the names of all network interfaces.
  process.report.excludeNetwork = true
  try {
    return process.report.getReport().header.glibcVersionRuntime === undefined
  } finally {
    process.report.excludeNetwork = before
  }
}

function load() {
  const here = `${process.platform}-${process.arch}`
  if (here !== 'linux-x64') {
    throw new Error(`scrubjay runs on Linux x64 with glibc; this Node.js is for ${here}.`)
  }
  try {
    return require(ADDON)
  } catch (error) {
    if (isMusl()) {
      throw new Error('scrubjay runs on Linux x64 with glibc; this Node.js is for musl (Alpine): use an image with glibc, such as node:20-slim.', { cause: error })
    }
    if (error.code === 'MODULE_NOT_FOUND') {
      throw new Error('scrubjay: scrubjay.linux-x64-gnu.node is missing from the package; install it again, or run "npm run build" in its sources.', { cause: error })
    }
    throw new Error(`scrubjay: the addon cannot be loaded: ${error.message}`, { cause: error })
  }
}

module.exports = load()
