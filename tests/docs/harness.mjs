import assert from 'node:assert'
import { CacheService, Rejected, cached } from 'scrubjay'

const db = { loadUser: async (id) => ({ id }), renameUser: async () => 1 }

SNIPPETS

CALLS
