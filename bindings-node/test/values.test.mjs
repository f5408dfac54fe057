// What becomes of each kind of value.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'

import { InvalidValue } from 'scrubjay'

import { memory } from './support.mjs'

/** What comes back for a value, by every way in which it can. */
async function roundTrip(t, value) {
  const cache = memory(t)
  await cache.set('k', value)
  const got = await cache.get('k')
  assert.deepStrictEqual(cache.getSync('k'), got)
  assert.deepStrictEqual((await cache.getMany(['k'])).get('k'), got)
  assert.deepStrictEqual(await cache.getOrFetch('k', 60, () => assert.fail('it is there')), got)
  await cache.set('m', value, { codec: 'msgpack' })
  assert.deepStrictEqual(await cache.get('m'), got)
  await cache.getOrFetch('fetched', 60, () => value)
  assert.deepStrictEqual(await cache.get('fetched'), got)
  return got
}

describe('values that come back as they are', () => {
  const values = {
    null: null,
    true: true,
    false: false,
    zero: 0,
    'minus zero': -0,
    'an integer': -42,
    'the largest safe integer': Number.MAX_SAFE_INTEGER,
    'the smallest safe integer': Number.MIN_SAFE_INTEGER,
    'a float': 0.1,
    'a float of 17 digits': 0.12345678901234568,
    'the largest float': Number.MAX_VALUE,
    'the smallest float': Number.MIN_VALUE,
    '1e21': 1e21,
    '1e300': 1e300,
    '2^53': 2 ** 53,
    '2^60': 2 ** 60,
    '-2^69': -(2 ** 69),
    'a big integer': 18446744073709551615n,
    'a negative big integer': -9007199254740993n,
    'an empty string': '',
    'a string with everything': '"\\/\b\f\n\r\t\u0000\u001f\u007f\u2028\u2029<>&é漢🐦',
    'a long string with everything': '"\\\u0000🐦é'.repeat(100),
    'a long plain string': 'plain '.repeat(1000),
    'a string of digits': '12345678901234567890',
    'an empty array': [],
    'an empty object': {},
    nested: { a: [1, { b: [[], {}, null] }], c: 'd' },
    'odd names': { '': 1, ' ': 2, 'a.b': 3, '"': 4, é: 5, constructor: 6, toString: 7, 1: 8 },
    'long numbers between strings': { text: '"1234567890123456789\\', ids: [12345678901234567890n, 1, 0.5, -0, 1e21], end: ['\\"', '"'] },
  }
  for (const [name, value] of Object.entries(values)) {
    test(name, async (t) => {
      // MessagePack has integers of at most 64 bits and holds all of these.
      assert.deepStrictEqual(await roundTrip(t, value), value)
    })
  }

  test('64 levels', async (t) => {
    let value = []
    for (let depth = 1; depth < 64; depth++) value = [value]
    assert.deepStrictEqual(await roundTrip(t, value), value)
  })

  test('every double of a random thousand', async (t) => {
    const cache = memory(t)
    const view = new DataView(new ArrayBuffer(8))
    const values = []
    while (values.length < 1000) {
      for (let index = 0; index < 8; index++) view.setUint8(index, Math.random() * 256)
      const value = view.getFloat64(0)
      if (Number.isFinite(value)) values.push(value, Math.round(Math.random() * 1e17))
    }
    await cache.set('k', values)
    assert.deepStrictEqual(await cache.get('k'), values)
  })
})

describe('values that come back as others of the same meaning', () => {
  class Point {
    x = 1
    y = 2
    get length() { return 3 }
  }
  const cases = {
    'a small BigInt': [[7n, -9007199254740991n], [7, -9007199254740991]],
    'a Date': [new Date(0), '1970-01-01T00:00:00.000Z'],
    'a Date inside': [{ at: [new Date(0)] }, { at: ['1970-01-01T00:00:00.000Z'] }],
    'a URL': [new URL('https://example.org/'), 'https://example.org/'],
    'a class instance': [new Point(), { x: 1, y: 2 }],
    'an object without a prototype': [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
    'inherited properties': [Object.create({ hidden: 1 }), {}],
    'undefined properties': [{ a: undefined, b: [{ c: undefined }] }, { b: [{}] }],
    'symbol properties': [{ [Symbol('s')]: 1, a: 2 }, { a: 2 }],
    'a toJSON': [{ toJSON: (key) => ({ key }) }, { key: '' }],
    'a toJSON inside': [{ a: [{ toJSON: (key) => key }], b: { toJSON: (key) => key } }, { a: ['0'], b: 'b' }],
    'a toJSON that gives undefined': [{ a: { toJSON: () => undefined }, b: 1 }, { b: 1 }],
    'a toJSON of an array': [Object.assign([1], { toJSON: () => [2] }), [2]],
    'boxed primitives': [[new Number(1), new String('a'), new Boolean(false), Object(2n ** 64n)], [1, 'a', false, 18446744073709551616n]],
    'properties of an array': [Object.assign([1], { extra: 2 }), [1]],
    'a Proxy': [new Proxy({ a: 1 }, {}), { a: 1 }],
  }
  for (const [name, [value, expected]] of Object.entries(cases)) {
    test(name, async (t) => {
      const cache = memory(t)
      await cache.set('k', value)
      assert.deepStrictEqual(await cache.get('k'), expected)
    })
  }

  test('each property is read once', async (t) => {
    const cache = memory(t)
    let reads = 0
    await cache.set('k', { get a() { return ++reads === 1 ? 'first' : NaN } })
    assert.deepStrictEqual(await cache.get('k'), { a: 'first' })
  })
})

describe('bytes', () => {
  const bytes = [0, 255, 128, 10]
  const shared = new Uint8Array(new SharedArrayBuffer(4))
  shared.set(bytes)
  const cases = {
    'a Buffer': Buffer.from(bytes),
    'a Uint8Array': Uint8Array.from(bytes),
    'an ArrayBuffer': Uint8Array.from(bytes).buffer,
    'a part of a buffer': Uint8Array.from([9, ...bytes, 9]).subarray(1, 5),
    'shared memory': shared.buffer,
    'a view of shared memory': shared,
  }
  for (const [name, value] of Object.entries(cases)) {
    test(name, async (t) => {
      const got = await roundTrip(t, value)
      assert.ok(Buffer.isBuffer(got))
      assert.deepStrictEqual([...got], bytes)
    })
  }

  test('none', async (t) => {
    assert.deepStrictEqual(await roundTrip(t, Buffer.alloc(0)), Buffer.alloc(0))
  })

  test('a copy: what is done to them later is not seen', async (t) => {
    // Hits share a value otherwise.
    const cache = memory(t, { isolate: true })
    const value = Buffer.from('abc')
    await cache.set('k', value)
    value[0] = 0
    const got = await cache.get('k')
    assert.equal(got.toString(), 'abc')
    got[0] = 0
    assert.equal((await cache.get('k')).toString(), 'abc')
  })
})

describe('values that are refused, by their place', () => {
  const cyclic = { list: [] }
  cyclic.list.push({ back: cyclic })
  let deep = []
  for (let depth = 1; depth < 65; depth++) deep = [deep]
  const cases = {
    undefined: [undefined, '$ is undefined'],
    NaN: [NaN, '$ is NaN'],
    Infinity: [[Infinity], '$[0] is Infinity'],
    'NaN inside': [{ a: [0, 1, 2, { b: NaN }] }, '$.a[3].b is NaN'],
    'an odd name': [{ 'a b': { 'c"': -Infinity } }, '$["a b"]["c\\""] is -Infinity'],
    'undefined in an array': [{ a: [undefined] }, '$.a[0] is undefined'],
    // eslint-disable-next-line no-sparse-arrays
    'a hole': [[1, , 2], '$[1] is undefined'],
    'a function': [{ f() {} }, '$.f is a function'],
    'a symbol': [[Symbol('s')], '$[0] is a symbol'],
    'a Map': [new Map([['a', 1]]), '$ is of type Map'],
    'a Set inside': [{ a: { b: new Set() } }, '$.a.b is of type Set'],
    'a WeakMap': [[new WeakMap()], '$[0] is of type WeakMap'],
    'a RegExp': [{ r: /a/ }, '$.r is of type RegExp'],
    'an Error': [{ e: new Error('lost') }, '$.e is of type Error'],
    'a promise': [[Promise.resolve(1)], '$[0] is of type Promise'],
    'an invalid Date': [{ at: new Date(NaN) }, '$.at is an invalid Date'],
    'bytes inside': [{ a: [Buffer.from('b')] }, '$.a[0] is of type Uint8Array; bytes can only be a whole value'],
    'an ArrayBuffer inside': [[new ArrayBuffer(1)], '$[0] is of type ArrayBuffer'],
    'other typed arrays': [new Float64Array(1), '$ is of type Float64Array'],
    'a DataView': [new DataView(new ArrayBuffer(1)), '$ is of type DataView'],
    'bytes from a toJSON': [{ a: { toJSON: () => Buffer.alloc(1) } }, '$.a has a toJSON that gives the type Uint8Array'],
    'a lone surrogate': [{ a: 'x\ud800y' }, '$.a has a surrogate'],
    'a lone surrogate in a long string': ['long '.repeat(10) + '\udc00', '$ has a surrogate'],
    'a lone surrogate in a name': [{ '\ud800': 1 }, '$["\\ud800"] has a surrogate'],
    'a cycle': [cyclic, '$.list[0].back contains itself'],
    '65 levels': [deep, `$${'[0]'.repeat(64)} is nested deeper than 64 levels`],
    'a million levels': [(() => { let value = []; for (let i = 0; i < 1e6; i++) value = [value]; return value })(), 'is nested deeper than 64 levels'],
    'an integer of 2000 digits': [10n ** 2000n, 'a number has more than 1024 digits'],
  }
  for (const [name, [value, message]] of Object.entries(cases)) {
    test(name, async (t) => {
      const cache = memory(t)
      const refused = (operation) => (error) => {
        assert.ok(error instanceof InvalidValue)
        assert.equal(error.code, 'InvalidValue')
        assert.ok(error.message.startsWith(`${operation}: InvalidValue: `), error.message)
        assert.ok(error.message.includes(message), error.message)
        return true
      }
      await assert.rejects(cache.set('k', value), refused('set'))
      await assert.rejects(cache.setMany({ good: 1, k: value }), refused('set_many'))
      await assert.rejects(cache.getOrFetch('k', 60, () => value), refused('get_or_fetch'))
      assert.equal(await cache.get('k'), undefined)
      assert.equal(await cache.get('good'), undefined)
    })
  }

  test('the same object twice is no cycle', async (t) => {
    const cache = memory(t)
    const twice = { a: 1 }
    await cache.set('k', [twice, { twice }])
    assert.deepStrictEqual(await cache.get('k'), [{ a: 1 }, { twice: { a: 1 } }])
  })

  test('what a toJSON throws is thrown', async (t) => {
    const cache = memory(t)
    const error = new Error('no JSON today')
    const value = { toJSON() { throw error } }
    await assert.rejects(cache.set('k', value), error)
    await assert.rejects(cache.getOrFetch('k', 60, () => value), error)
    assert.equal(await cache.getOrFetch('k', 60, () => 1), 1)
  })

  test('longer than a string can be', async (t) => {
    const cache = memory(t, { maxValue: 512 * 2 ** 20 })
    const megabyte = 'x'.repeat(2 ** 20)
    await assert.rejects(cache.set('k', Array(600).fill(megabyte)), /InvalidValue: \$ is longer as JSON than a string can be/)
  })

  test('too large', async (t) => {
    const cache = memory(t, { maxValue: 1024 })
    await assert.rejects(cache.set('k', 'x'.repeat(1023)), /InvalidValue: .*max_value = 1024/)
    await cache.set('k', 'x'.repeat(1022))
    await assert.rejects(cache.getOrFetch('l', 60, () => Buffer.alloc(1025)), /InvalidValue: .*max_value = 1024/)
  })
})

describe('no prototype is ever changed', () => {
  const text = '{"__proto__":{"polluted":true},"id":12345678901234567890}'
  for (const [name, source] of [['short numbers', text.replace('12345678901234567890', '1')], ['long numbers', text]]) {
    test(name, async (t) => {
      const cache = memory(t)
      const value = JSON.parse(source.replace('12345678901234567890', '"n"'))
      if (name === 'long numbers') value.id = 12345678901234567890n
      await cache.set('k', value)
      const got = await cache.get('k')
      assert.deepStrictEqual(Object.getPrototypeOf(got), Object.prototype)
      assert.deepStrictEqual(Object.getOwnPropertyDescriptor(got, '__proto__').value, { polluted: true })
      assert.equal(got.polluted, undefined)
      assert.equal({}.polluted, undefined)
    })
  }
})

describe('whole numbers that JSON.parse would round are read exactly, wherever they stand', () => {
  for (const value of [9007199254740992n, -9007199254740993n, 12345678901234567890n]) {
    for (const padding of [0, 1, 2, 3, 4, 5, 6, 7, 8]) {
      test(`${value} after ${padding} characters`, async (t) => {
        const cache = memory(t)
        const values = [
          [' '.repeat(padding), value], [[value]], { ['x'.repeat(padding)]: value, b: '\\"' }, { a: '\\', b: value }, [1.5, value, 1e300, -0, 0.1],
          ['1234567890123456789', 1234567890123456800, 0.1234567890123456, value, '"1234567890123456789'],
        ]
        for (const [index, nested] of values.entries()) {
          await cache.set(`k${index}`, nested)
          assert.deepStrictEqual(await cache.get(`k${index}`), nested)
        }
      })
    }
  }
})

test('a patched JSON of the program changes nothing', async (t) => {
  const cache = memory(t)
  BigInt.prototype.toJSON = function () { return 'patched' }
  t.after(() => { delete BigInt.prototype.toJSON })
  await cache.set('k', [2n ** 64n])
  assert.deepStrictEqual(await cache.get('k'), [18446744073709551616n])
})
