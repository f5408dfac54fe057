'use strict'

const { CacheService } = require('./cache.js')
const { MemoryCache } = require('./memory-cache.js')
const { cached, Cached } = require('./cached.js')
const { fetched } = require('./fetched.js')
const { WriteBehind } = require('./write-behind.js')
const { Rejected } = require('./writer.js')
const { ScrubjayError, PartialError, classes } = require('./errors.js')

module.exports = { CacheService, MemoryCache, cached, Cached, fetched, WriteBehind, Rejected, ScrubjayError, PartialError, ...classes }
