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
}
