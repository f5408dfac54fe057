// The package under test: that of this repository, or the folder of an installed one in SCRUBJAY_PACKAGE.

import { createRequire } from 'node:module'
import path from 'node:path'

const folder = process.env.SCRUBJAY_PACKAGE ?? path.resolve(import.meta.dirname, '../../../../bindings-node')

export const { CacheService, NotFound, PartialError, ScrubjayError, fetched } = createRequire(import.meta.url)(path.resolve(folder))
