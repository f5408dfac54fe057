// What TypeScript makes of the package, from a CommonJS module: checked by tsc, never run.

import scrubjay = require('scrubjay')
import { CacheService, NotFound } from 'scrubjay'

const cache: CacheService = new scrubjay.CacheService('memory://')
const miss: Promise<number | undefined> = cache.get<number>('k')
const error: scrubjay.ScrubjayError = new NotFound()

export = { miss, code: error.code }
