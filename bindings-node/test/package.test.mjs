// The package as others install it: packed, installed into an empty project, used from every kind of module.

import assert from 'node:assert/strict'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { before, describe, test } from 'node:test'

import { PACKAGE, outside, run, script } from './support.mjs'

const project = outside()
const installed = path.join(project, 'node_modules/scrubjay')
const manifest = JSON.parse(readFileSync(path.join(PACKAGE, 'package.json'), 'utf8'))
let packed

before(async () => {
  const npm = (args, cwd) => run('npm', [...args, '--silent', '--offline', '--no-audit', '--no-fund'], { cwd })
  const pack = await npm(['pack', '--json', '--pack-destination', project], PACKAGE)
  assert.equal(pack.code, 0, pack.stderr)
  const described = JSON.parse(pack.stdout)
  packed = Array.isArray(described) ? described[0] : Object.values(described)[0]
  writeFileSync(path.join(project, 'package.json'), '{"name": "empty", "private": true}')
  const install = await npm(['install', path.join(project, packed.filename)], project)
  assert.equal(install.code, 0, install.stdout + install.stderr)
})

test('it has what it needs, and nothing else', () => {
  const files = packed.files.map((file) => file.path)
  for (const file of ['package.json', 'README.md', 'index.d.ts', 'index.d.mts', 'errors.d.ts', 'through.d.ts', 'write-behind.d.ts', 'scrubjay.linux-x64-gnu.node', 'lib/index.js', 'lib/index.mjs']) {
    assert.ok(files.includes(file), file)
  }
  const others = files.filter((file) => !/^(package\.json|LICENSE|README\.md|index\.d\.m?ts|errors\.d\.ts|through\.d\.ts|scrubjay\.linux-x64-gnu\.node|lib\/[\w-]+\.m?js)$/.test(file))
  assert.deepStrictEqual(others, [])
})

test('it depends on nothing and runs nothing when it is installed', () => {
  assert.deepStrictEqual(Object.keys(manifest).filter((field) => /dependencies/i.test(field)), ['devDependencies'])
  assert.deepStrictEqual(Object.keys(manifest.scripts).filter((name) => /install|prepare|publish/.test(name)), [])
  assert.deepStrictEqual([manifest.os, manifest.cpu, manifest.libc, manifest.engines], [['linux'], ['x64'], ['glibc'], { node: '>=20' }])
})

describe('from an empty project', () => {
  const use = `
    const cache = new CacheService()
    await cache.getOrFetch('k', 60, async () => ({ a: 1n << 64n }))
    console.log((await cache.get('k')).a, new NotFound() instanceof ScrubjayError)
    await cache.close()
  `
  const printed = { code: 0, stdout: '18446744073709551616n true\n', stderr: '' }

  async function runs(file, source) {
    writeFileSync(path.join(project, file), source)
    const { code, stdout, stderr } = await run(process.execPath, [file], { cwd: project })
    assert.deepStrictEqual({ code, stdout, stderr }, printed)
  }

  test('an ES module', () => runs('module.mjs', `import { CacheService, NotFound, ScrubjayError } from 'scrubjay'\n${use}`))

  test('a CommonJS module', () => runs('module.cjs', `
    const { CacheService, NotFound, ScrubjayError } = require('scrubjay')
    const run = async () => { ${use} }
    run()
  `))

  test('both at once are the same', () => runs('both.mjs', `
    import { createRequire } from 'node:module'
    import * as imported from 'scrubjay'
    const required = createRequire(import.meta.url)('scrubjay')
    for (const name of Object.keys(required)) if (imported[name] !== required[name]) throw new Error(name)
    const { CacheService } = required
    const { NotFound, ScrubjayError } = imported
    ${use}
  `))

  const source = `
    import { CacheService, NotFound, ScrubjayError, Cached, cached, type Receipt } from 'scrubjay'
    const cache = new CacheService('memory://', 'shop', { maxStaleness: 0.5 })
    class Users {
      @Cached(cache, { key: 'user:{0}', ttl: 60 })
      async load(id: number): Promise<{ a: bigint }> { return { a: BigInt(id) << 64n } }
    }
    const closed: Promise<Receipt> = new Users().load(1).then(async (user) => {
      const name = cached(cache, 60, async function name(id: number) { return String(id) })
      const same: string = await name(7)
      if (same !== '7') throw new Error(same)
      console.log(user.a, new NotFound() instanceof ScrubjayError)
      return cache.close()
    })
    export { closed }
  `
  const tsc = path.join(PACKAGE, 'node_modules/typescript/bin/tsc')
  const types = ['--types', 'node', '--typeRoots', path.join(PACKAGE, 'node_modules/@types')]
  const kinds = {
    'an ES module of TypeScript': ['typed.mts', 'typed.mjs', ['--module', 'nodenext']],
    'a CommonJS module of TypeScript': ['typed.cts', 'typed.cjs', ['--module', 'nodenext']],
    'TypeScript with the module settings of old, and experimentalDecorators': [
      'old.ts', 'old.js', ['--module', 'commonjs', '--moduleResolution', 'node', '--experimentalDecorators', '--esModuleInterop', 'false'],
    ],
    'TypeScript for a bundler': ['bundled.mts', undefined, ['--module', 'esnext', '--moduleResolution', 'bundler', '--noEmit']],
  }
  for (const [name, [file, output, flags]] of Object.entries(kinds)) {
    test(name, async () => {
      writeFileSync(path.join(project, file), source)
      const { code, stdout } = await run(process.execPath, [tsc, '--target', 'es2022', '--strict', ...types, ...flags, file], { cwd: project })
      assert.equal(code, 0, stdout)
      if (output === undefined) return
      const result = await run(process.execPath, [output], { cwd: project })
      assert.deepStrictEqual({ code: result.code, stdout: result.stdout, stderr: result.stderr }, printed)
    })
  }

  test('its insides are its own', async () => {
    const { code, stderr } = await script(project, "import 'scrubjay/lib/native.js'")
    assert.equal(code, 1)
    assert.match(stderr, /ERR_PACKAGE_PATH_NOT_EXPORTED/)
  })
})

describe('where the addon cannot run', () => {
  /** What a program is told that loads the package after `prepare`, by import and by require. */
  async function told(prepare, folder = project) {
    const { code, stdout, stderr } = await script(folder, `
      import { createRequire } from 'node:module'
      const { process } = globalThis
      ${prepare}
      try { await import('scrubjay') } catch (error) { console.log(error.message) }
      try { createRequire(import.meta.url)('scrubjay') } catch (error) { console.log(error.message) }
    `)
    assert.deepStrictEqual([code, stderr], [0, ''])
    const [imported, required] = stdout.trimEnd().split('\n')
    assert.equal(imported, required)
    return imported
  }

  test('another platform', async () => {
    assert.equal(await told("Object.defineProperty(process, 'platform', { value: 'darwin' })"), 'scrubjay runs on Linux x64 with glibc; this Node.js is for darwin-x64.')
    assert.equal(await told("Object.defineProperty(process, 'arch', { value: 'arm64' })"), 'scrubjay runs on Linux x64 with glibc; this Node.js is for linux-arm64.')
  })

  test('musl, a lost addon and a broken one', async () => {
    const broken = outside()
    cpSync(installed, path.join(broken, 'node_modules/scrubjay'), { recursive: true })
    const addon = path.join(broken, 'node_modules/scrubjay/scrubjay.linux-x64-gnu.node')
    const musl = 'process.report.getReport = () => ({ header: {} })'
    writeFileSync(addon, 'no library')
    assert.match(await told('', broken), /^scrubjay: the addon cannot be loaded: .*scrubjay\.linux-x64-gnu\.node/)
    assert.match(await told(musl, broken), /^scrubjay runs on Linux x64 with glibc; this Node\.js is for musl \(Alpine\): use an image with glibc/)
    rmSync(addon)
    assert.match(await told('', broken), /^scrubjay: scrubjay\.linux-x64-gnu\.node is missing from the package/)
  })
})
