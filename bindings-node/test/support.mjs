// What the tests share.

import { execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'

import { CacheService } from 'scrubjay'

/** The folder of the package. */
export const PACKAGE = path.resolve(import.meta.dirname, '..')

/** How much the tests do that are about quantity: 1 is a quick look. */
export const SCALE = Number(process.env.SCALE ?? 1)

/** A cache in memory that is closed when the test ends. */
export function memory(t, options = {}) {
  const cache = new CacheService('memory://', '', { jitter: 0, ...options })
  t.after(() => cache.close())
  return cache
}

/** A promise and its two ends. */
export function deferred() {
  let resolve
  let reject
  const promise = new Promise((...ends) => { [resolve, reject] = ends })
  return { promise, resolve, reject }
}

/** Waits until `condition` gives something true, or fails after 20 s. */
export async function until(condition, what = condition) {
  const deadline = performance.now() + 20_000
  for (;;) {
    const result = await condition()
    if (result) return result
    if (performance.now() > deadline) throw new Error(`not within 20 s: ${what}`)
    await pause(2)
  }
}

/** A folder inside the package, so that `scrubjay` is found from there; it goes when the tests of the file end. */
export function scratch() {
  const folder = mkdtempSync(path.join(PACKAGE, 'test', '.scratch-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A folder outside of everything; it goes when the tests of the file end. */
export function outside() {
  const folder = mkdtempSync(path.join(tmpdir(), 'scrubjay-node-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Runs a program and gives how it ended; never throws. */
export function run(program, args, options = {}) {
  return new Promise((resolve) => {
    execFile(program, args, { timeout: 100_000, maxBuffer: 1 << 26, ...options }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, signal: error?.signal ?? null, stdout, stderr, killed: error?.killed ?? false })
    })
  })
}

let scripts = 0

/** Runs JavaScript of its own in a process of its own, as a module; `args` are for it. */
export function script(folder, source, ...args) {
  scripts += 1
  const file = path.join(folder, `script-${scripts}.mjs`)
  writeFileSync(file, source)
  return run(process.execPath, [file, ...args])
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => { server.once('listening', resolve) })
  const { port } = server.address()
  await new Promise((resolve) => { server.close(resolve) })
  return port
}

/** A Redis of its own; it ends with the tests of the file. */
export async function redisServer() {
  const port = await freePort()
  const folder = outside()
  let server
  const redis = {
    url: `redis://127.0.0.1:${port}`,
    /** What redis-cli says to a command. */
    async cli(...args) {
      const { stdout } = await run('redis-cli', ['-p', `${port}`, ...args])
      return stdout.trim()
    },
    async start() {
      server = spawn('redis-server', ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder], { stdio: 'ignore' })
      await until(async () => await redis.cli('ping') === 'PONG', 'redis-server answers')
    },
    async stop() {
      if (server.exitCode !== null || server.signalCode !== null) return
      const ended = new Promise((resolve) => { server.once('exit', resolve) })
      server.kill('SIGKILL')
      await ended
    },
    /** Lets it neither answer nor end, or go on. */
    freeze() { server.kill('SIGSTOP') },
    thaw() { server.kill('SIGCONT') },
    /** Has it take what is sent, and carry out no write, nor what comes behind one on its connection. */
    async pause() { await redis.cli('client', 'pause', '60000', 'write') },
    async unpause() { await redis.cli('client', 'unpause') },
  }
  await redis.start()
  after(() => redis.stop())
  return redis
}
