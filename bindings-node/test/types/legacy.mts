// The decorators of experimentalDecorators: compiled and run by decorators.test.mjs.

import { CacheService, Cached } from 'scrubjay'

export const cache = new CacheService()
export let loads = 0

export class Users {
  constructor(readonly country = 'se') {}

  @Cached(cache, { key: 'user:{0}', ttl: 300 })
  async getUser(id: number): Promise<{ id: number, country: string }> {
    loads += 1
    return { id, country: this.country }
  }

  @Cached(cache, 300)
  async byName(name: string, limit?: number): Promise<string[]> {
    loads += 1
    return [name, `${limit ?? 0}`]
  }

  @Cached(cache, { key(this: Users, id: number) { return `${this.country}:${id}` }, ttl: 300 })
  async local(id: number): Promise<string> {
    loads += 1
    return `${this.country} ${id}`
  }

  @Cached(cache)
  static async count(): Promise<number> {
    loads += 1
    return 3
  }

  @Cached(cache, { ttl: 60, tags: ['country:{0}'], unless: (n: number) => n < 0, cacheErrors: RangeError })
  async members(country: string): Promise<number> {
    loads += 1
    if (country === '') throw new RangeError('no country')
    return country === 'none' ? -1 : country.length
  }
}

export class Admins extends Users {}

export async function typed(users: Users): Promise<number> {
  const members = Cached.of(users, 'members')
  await members.invalidate('se')
  // @ts-expect-error: the argument is text
  members.getKey(7)
  // @ts-expect-error: no method
  const nothing = () => Cached.of(users, 'nothing')
  return typeof nothing === 'function' ? members.refresh('se') : 0
}
