'use strict'

const { CacheService } = require('./cache.js')
const { cached, Cached } = require('./cached.js')
const { ScrubjayError, PartialError, classes } = require('./errors.js')

module.exports = { CacheService, cached, Cached, ScrubjayError, PartialError, ...classes }
