// The same objects as for require(): an error of one is an instance of the other's class.
//
// Not an import of index.js: where the addon cannot be loaded, Node.js 20 would end the process even though the program
// catches the error of its import.

import { createRequire } from 'node:module'

export const {
  CacheService, MemoryCache, cached, Cached, fetched, WriteBehind, Rejected, ScrubjayError, PartialError, InvalidOption, InvalidKey, InvalidValue, NotFound,
  FetchFailed, FetchTimeout, LeaseExpired, RecursiveFetch, Overloaded, Closed, Cancelled, Unavailable, DirtyElsewhere,
  Unsupported, Internal,
} = createRequire(import.meta.url)('./index.js')
