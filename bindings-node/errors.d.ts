import type { Key } from './index.js'

/** The kinds of errors, the same in every language. */
export type ErrorCode =
  | 'InvalidOption' | 'InvalidKey' | 'InvalidValue' | 'NotFound' | 'FetchFailed' | 'FetchTimeout' | 'LeaseExpired'
  | 'RecursiveFetch' | 'Overloaded' | 'Closed' | 'Cancelled' | 'Unavailable' | 'Partial' | 'DirtyElsewhere'
  | 'Unsupported' | 'Internal'

/** How an error of yours is made. */
export interface ErrorDetails {
  /** The operation that failed. Default `get_or_fetch`. */
  operation?: string
  /** What caused it. */
  cause?: unknown
}

/**
 * What the cache throws; the errors of your fetches are thrown unchanged. The message is
 * `<operation>: <code>: <what is wrong>` and never has values, passwords or full keys.
 */
export abstract class ScrubjayError extends Error {
  constructor(message: string, details?: ErrorDetails)
  /** The kind. */
  readonly code: ErrorCode
  /** The number of the kind, the same in every language. */
  readonly errno: number
  /** Whether the same call may succeed later without a change on your side. */
  readonly retryable: boolean
  /** The operation that failed, by its name in the core: `get_or_fetch` for `getOrFetch`. */
  readonly operation: string
}

/** An option, a URL or an argument of a call is wrong. The message names it and its limit. */
export class InvalidOption extends ScrubjayError { readonly code: 'InvalidOption' }
/** A key is empty, longer than 1 KiB, or not bytes or text. */
export class InvalidKey extends ScrubjayError { readonly code: 'InvalidKey' }
/** A value cannot be stored: too large, too deep, or outside what every language can read. The message has its path. */
export class InvalidValue extends ScrubjayError { readonly code: 'InvalidValue' }
/** What was asked for does not exist. A fetch throws it to say so, and that is remembered for `negativeTtl`. */
export class NotFound extends ScrubjayError {
  constructor(message?: string, details?: ErrorDetails)
  readonly code: 'NotFound'
}
/** The fetch of another caller failed, and its error object cannot be shared with this one. */
export class FetchFailed extends ScrubjayError { readonly code: 'FetchFailed' }
/** The fetch did not end within `fetchHardTimeout`. */
export class FetchTimeout extends ScrubjayError { readonly code: 'FetchTimeout' }
/** A lease was fulfilled after it had ended. */
export class LeaseExpired extends ScrubjayError { readonly code: 'LeaseExpired' }
/** A fetch asked, directly or through other fetches, for the key it is loading. */
export class RecursiveFetch extends ScrubjayError { readonly code: 'RecursiveFetch' }
/** A bound on queues, waiters or loads in flight was reached. */
export class Overloaded extends ScrubjayError { readonly code: 'Overloaded' }
/** The cache was closed. */
export class Closed extends ScrubjayError { readonly code: 'Closed' }
/** The caller gave up waiting. */
export class Cancelled extends ScrubjayError { readonly code: 'Cancelled' }
/** The shared tier could not be reached, in a call that cannot do without it. */
export class Unavailable extends ScrubjayError { readonly code: 'Unavailable' }
/** A pending write of this key lies in another process. */
export class DirtyElsewhere extends ScrubjayError { readonly code: 'DirtyElsewhere' }
/** This platform or server cannot do what was asked for. */
export class Unsupported extends ScrubjayError { readonly code: 'Unsupported' }
/** A defect of Scrubjay: please report it. */
export class Internal extends ScrubjayError { readonly code: 'Internal' }
/** Some keys of a call on many failed; the others have their value. */
export class PartialError<T = unknown> extends ScrubjayError {
  constructor(failed: Map<Key, unknown>, values: Map<Key, T>, details?: ErrorDetails)
  readonly code: 'Partial'
  /** The errors by their keys. */
  readonly failed: Map<Key, unknown>
  /** The values of the other keys. */
  readonly values: Map<Key, T>
}
