import assert from 'node:assert'
import { CacheService, cached } from 'scrubjay'

const db = { loadUser: async (id) => ({ id }) }

SNIPPETS

CALLS
