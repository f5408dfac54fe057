// The README says what is: its snippets are run, and print what their comments say.

import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'

import { PACKAGE, redisServer, run, scratch, script } from './support.mjs'

const folder = scratch()
const redis = await redisServer()
const readme = readFileSync(path.join(PACKAGE, 'README.md'), 'utf8')
const snippets = [...readme.matchAll(/^```(js|ts)\n(.*?)^```$/gms)].map(([, language, source]) => ({ language, source }))

/** The database that the snippets speak of. */
const DATABASE = {
  js: `const db = { loadUser: async (id) => (id === 404 ? undefined : { id, name: 'Ada' }), updateUser: async () => {} }\n`,
  ts: `const db = { loadUser: async (id: number) => ({ id, name: 'Ada' }), updateUser: async (_id: number, _name: string) => {} }\n`,
}

/** What the snippets print, in their order. */
const PRINTED = [
  "{ id: 7, name: 'Grace' }\n",
  'closed\n',
  "{ id: 7, name: 'Ada' }\nNotFound get_or_fetch: NotFound: no user 404\n",
  "[ 'user:1', 'user:2', 'user:3' ]\n",
  "undefined { title: 'Acorns' }\n",
  "{ id: 7, name: 'Ada' }\nen /a:b\n",
  '{ user: 7 } false 2\na 7\nb 8\na removed\n',
  '{ big: 18446744073709551616n, small: 7 }\nset: InvalidValue: $.list[1] is NaN\n',
]

test('every snippet has its output here', () => {
  assert.equal(snippets.length, PRINTED.length)
})

for (const [index, { language, source }] of snippets.entries()) {
  test(`snippet ${index + 1}`, async () => {
    let program = DATABASE[language] + source.replaceAll('redis://localhost:6379', redis.url)
    if (language === 'ts') {
      const file = path.join(folder, `snippet-${index}.mts`)
      writeFileSync(file, program)
      const tsc = path.join(PACKAGE, 'node_modules/typescript/bin/tsc')
      const { code, stdout } = await run(process.execPath, [
        tsc, '--target', 'es2022', '--module', 'nodenext', '--strict', '--types', 'node', '--typeRoots', path.join(PACKAGE, 'node_modules/@types'), file,
      ])
      assert.equal(code, 0, stdout)
      program = readFileSync(file.replace(/mts$/, 'mjs'), 'utf8')
    }
    const { code, stdout, stderr } = await script(folder, program)
    assert.deepStrictEqual({ code, stdout, stderr }, { code: 0, stdout: PRINTED[index], stderr: '' })
  })
}

test('the guide’s class can be written with these names', async () => {
  const { code, stdout, stderr } = await script(folder, `
    import { CacheService } from 'scrubjay'
    const cache = new CacheService(process.argv[2], 'guide')
    class UserService {
      getUser = (id) => cache.getOrFetch('user:' + id, 300, () => this.load(id))
      load = async (id) => ({ id })
      async updateUser(id) { await cache.delete('user:' + id) }
    }
    const users = new UserService()
    console.log(await cache.get('user:7'), await users.getUser(7))
    await users.updateUser(7)
    console.log(await cache.get('user:7'))
  `, redis.url)
  assert.deepStrictEqual({ code, stdout, stderr }, { code: 0, stdout: 'undefined { id: 7 }\nundefined\n', stderr: '' })
})
