// Tags: in set, in fetches and their values, in cached.

import assert from 'node:assert/strict'
import { test } from 'node:test'

import { cached, fetched, InvalidOption, NotFound } from 'scrubjay'

import { memory } from './support.mjs'

const namesTags = (error) => error instanceof InvalidOption && /tags/.test(error.message)

test('entries end with their tags', async (t) => {
  const cache = memory(t)
  await cache.set('a', 1, { tags: ['x', 'y'] })
  await cache.setMany({ b: 2, c: 3 }, { ttl: 60, tags: new Set(['y']) })
  await cache.set('d', 4, { ttl: 60, tags: ['z'] })
  assert.equal(await cache.getOrFetch('e', { ttl: 60, tags: ['x'] }, () => 5), 5)
  assert.equal(await cache.getOrFetch('f', 60, () => 6, { tags: ['x'] }), 6)
  await cache.getOrFetchMany(['g'], { tags: ['x'] }, () => ({ g: 7 }))
  const keys = [...'abcdefg']
  // Copies that this runtime holds end too.
  assert.equal((await cache.getMany(keys)).size, 7)
  assert.equal((await cache.getMany(keys)).size, 7)
  assert.equal((await cache.invalidateTags(['x'])).pending, false)
  assert.deepEqual(Object.fromEntries(await cache.getMany(keys)), { b: 2, c: 3, d: 4 })
  assert.equal(cache.getSync('a'), undefined)
  await cache.invalidateTags(new Set(['y', "nobody's"]))
  assert.deepEqual(Object.fromEntries(await cache.getMany(keys)), { d: 4 })
  await cache.invalidateTags([])
  await cache.invalidateTags(['z'])
  assert.equal((await cache.getMany(keys)).size, 0)
  assert.equal(cache.stats().invalidations, 4)
})

test('a value may bring its tags and its ttl', async (t) => {
  const cache = memory(t)
  const found = (value) => fetched(value, { ttl: 300, tags: [`n:${value}`] })
  const load = async () => {
    assert.equal(await cache.getOrFetch('a', { ttl: 60, tags: ['all'] }, async () => found(1)), 1)
    assert.equal(await cache.getOrFetch('b', 60, () => found(2)), 2)
    const many = await cache.getOrFetchMany(['c', 'd'], 60, async () => new Map([['c', found(3)], ['d', 4]]), { tags: ['all'] })
    assert.deepEqual([...many], [['c', 3], ['d', 4]])
    assert.equal(await cache.getOrFetch('e', 60, () => fetched(null)), null)
  }
  await load()
  await load()
  await cache.invalidateTags(['n:1', 'n:3'])
  assert.deepEqual([...await cache.getMany(['a', 'b', 'c', 'd'])], [['b', 2], ['d', 4]])
  await load()
  await cache.invalidateTags(['all'])
  assert.deepEqual([...await cache.getMany(['a', 'b', 'c', 'd'])], [['b', 2]])
})

test('a tag that is invalidated during a fetch keeps it out', async (t) => {
  const cache = memory(t)
  const during = (tag, value) => async () => {
    await cache.invalidateTags([tag])
    return value
  }
  assert.equal(await cache.getOrFetch('a', { tags: ['of the call'] }, during('of the call', 'old')), 'old')
  assert.equal(await cache.getOrFetch('b', 60, during('of the value', fetched('old', { tags: ['of the value'] }))), 'old')
  assert.equal((await cache.getMany(['a', 'b'])).size, 0)
  const nothing = () => { throw new NotFound() }
  await assert.rejects(cache.getOrFetch('c', { tags: ['t'] }, nothing), NotFound)
  await cache.invalidateTags(['t'])
  assert.equal(await cache.getOrFetch('c', 60, () => 1), 1)
})

test('what is no tags is refused', async (t) => {
  const cache = memory(t)
  await cache.set('stored', 1)
  const many = Array.from({ length: 17 }, (_, n) => `${n}`)
  for (const tags of ['users', 7, Buffer.from('users'), [7], [Buffer.from('a')], [''], ['x'.repeat(129)], ['\ud800'], many]) {
    await assert.rejects(cache.set('k', 1, { tags }), namesTags)
    await assert.rejects(cache.setMany({ k: 1 }, { tags }), namesTags)
    for (const key of ['k', 'stored']) {
      await assert.rejects(cache.getOrFetch(key, { tags }, () => 1), namesTags)
      await assert.rejects(cache.getOrFetchMany([key], 60, () => ({ k: 1 }), { tags }), namesTags)
    }
    await assert.rejects(cache.getOrFetch('k', 60, () => fetched(1, { tags })), namesTags)
    if (tags !== many) await assert.rejects(cache.invalidateTags(tags), namesTags)
  }
  await assert.rejects(cache.getOrFetch('k', 60, () => fetched(1, { ttl: 0 })), /ttl/)
  assert.throws(() => fetched(1, { codec: 'json' }), InvalidOption)
  assert.equal(await cache.get('k'), undefined)
})

test('functions have tags from their arguments', async (t) => {
  const cache = memory(t)
  const user = cached(cache, { key: 'user:{id}', tags: ['users', 'team:{team}'] }, async ({ id }) => id)
  const task = cached(cache, { key: 'task:{0}', tags: (id) => [`user:${id}`] }, async (id) => fetched(id, { tags: ['loaded'] }))
  for (const tag of ['users', 'team:b%3Ac']) {
    assert.equal(await user({ id: 7, team: 'b:c' }), 7)
    assert.equal(await cache.get('user:7'), 7)
    await cache.invalidateTags([tag])
    assert.equal(await cache.get('user:7'), undefined)
  }
  for (const tag of ['user:7', 'loaded']) {
    assert.equal(await task(7), 7)
    assert.equal(await cache.get('task:7'), 7)
    await cache.invalidateTags([tag])
    assert.equal(await cache.get('task:7'), undefined)
  }
  for (const tags of ['users', ['{'], [7]]) {
    assert.throws(() => cached(cache, { key: 'k', tags }, async () => 1), namesTags)
  }
})
