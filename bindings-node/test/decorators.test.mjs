// @Cached, compiled by tsc: the decorators of the standard, and those of experimentalDecorators.

import assert from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, test } from 'node:test'

import { CacheService, Cached, FetchFailed, InvalidOption } from 'scrubjay'

import { PACKAGE, memory, run, scratch } from './support.mjs'

const folder = scratch()

async function compile(name, ...flags) {
  const source = path.join(folder, `${name}.mts`)
  copyFileSync(path.join(import.meta.dirname, 'types', `${name}.mts`), source)
  const tsc = path.join(PACKAGE, 'node_modules/typescript/bin/tsc')
  const { code, stdout } = await run(process.execPath, [
    tsc, '--target', 'es2022', '--module', 'nodenext', '--strict', '--types', 'node', '--typeRoots', path.join(PACKAGE, 'node_modules/@types'), ...flags, source,
  ])
  assert.equal(code, 0, stdout)
  return import(pathToFileURL(path.join(folder, `${name}.mjs`)))
}

for (const [name, flags] of [['decorators', []], ['legacy', ['--experimentalDecorators']]]) {
  test(`${name}: methods are cached`, async (t) => {
    const compiled = await compile(name, ...flags)
    const { Users, cache } = compiled
    t.after(() => cache.close())
    const [here, there] = [new Users(), new Users('no')]
    assert.deepStrictEqual(await here.getUser(7), { id: 7, country: 'se' })
    assert.deepStrictEqual(await here.getUser(7), { id: 7, country: 'se' })
    assert.deepStrictEqual(await cache.get('user:7'), { id: 7, country: 'se' })
    assert.equal(compiled.loads, 1)
    // The key of a default or a template says nothing of the object; a function may.
    assert.deepStrictEqual(await there.byName('ada'), ['ada', '0'])
    assert.deepStrictEqual(await here.byName('ada', undefined), ['ada', '0'])
    assert.equal(await cache.get('Users.byName("ada")').then(String), 'ada,0')
    assert.deepStrictEqual(await here.byName('ada', 2), ['ada', '2'])
    assert.equal(await here.local(1), 'se 1')
    assert.equal(await there.local(1), 'no 1')
    assert.equal(await Users.count(), 3)
    assert.equal(await Users.count(), 3)
    assert.equal(await cache.get('Users.count()'), 3)
    assert.equal(compiled.loads, 6)
    assert.equal(here.getUser.name, 'getUser')
    const { Admins, typed } = compiled
    const members = Cached.of(here, 'members')
    // The class that defines a method, not the one that inherits it.
    assert.equal(Cached.of(new Admins(), 'members').getKey('se'), 'Users.members("se")')
    assert.equal(Users.count.getKey(), 'Users.count()')
    assert.equal(Cached.of(Users, 'count').getKey(), 'Users.count()')
    assert.equal(Users.prototype.getUser.getKey(7), 'user:7')
    assert.deepStrictEqual(members.getTags('se'), ['country:se'])
    assert.equal(await here.members('se'), 2)
    assert.equal(await new Admins().members('se'), 2)
    assert.equal(compiled.loads, 7)
    await cache.invalidateTags(['country:se'])
    assert.equal(await here.members('se'), 2)
    assert.equal(await members.refresh('se'), 2)
    assert.equal(await typed(here), 2)
    assert.equal(compiled.loads, 10)
    for (let i = 0; i < 2; i += 1) assert.equal(await here.members('none'), -1)
    assert.equal(compiled.loads, 12)
    await assert.rejects(here.members(''), RangeError)
    await assert.rejects(here.members(''), (error) => error instanceof FetchFailed && error.message.includes('no country'))
    assert.equal(compiled.loads, 13)
    assert.equal(await Users.count.refresh(), 3)
    await assert.rejects(here.members.refresh('se'), /refresh needs what the method is called on/)
    assert.throws(() => Cached.of(here, 'nothing'), InvalidOption)
  })
}

describe('what is no method', () => {
  test('is refused', (t) => {
    const cache = memory(t)
    const decorate = Cached(cache, 60)
    const refused = (error) => error instanceof InvalidOption && error.message.includes('Cached decorates methods')
    assert.throws(() => decorate(class {}, { kind: 'class', name: 'C' }), refused)
    assert.throws(() => decorate(undefined, { kind: 'field', name: 'f' }), refused)
    assert.throws(() => decorate({}, 'f', undefined), refused)
    assert.throws(() => decorate({}, 'f', { get() {} }), refused)
    assert.throws(() => decorate(class {}), refused)
    for (const other of [undefined, 60, {}]) assert.throws(() => Cached(other), /cache must be a CacheService/)
  })
})

test('two classes of one name in a cache are refused', async (t) => {
  const cache = memory(t)
  const make = (value) => {
    class Users { async load() { return value } }
    Object.defineProperty(Users.prototype, 'load', { value: Cached(cache, 60)(Users.prototype.load, { kind: 'method', name: 'load' }) })
    return new Users()
  }
  const [first, second] = [make(1), make(2)]
  assert.equal(await first.load(), 1)
  await assert.rejects(second.load(), /key must be given, or name: this cache has another function with the name "Users.load"/)
  assert.ok(cache instanceof CacheService)
})
