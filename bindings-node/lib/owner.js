'use strict'

// Whose method is decorated: default keys begin with the name of the class that defines it.

const { wrong } = require('./arguments.js')

class Owner {
  /** The class, once it is known. @type {Function | undefined} */
  #class
  #name

  /** @param {string | symbol} name of the method */
  constructor(name) {
    this.#name = name
    /** The class, of a static method, which is called on nothing else. @type {Function | undefined} */
    this.itself = undefined
  }

  /** Of a decorator that is given the prototype, or the class for a static method. */
  static known(target, name) {
    const owner = new Owner(name)
    owner.#class = typeof target === 'function' ? target : target.constructor
    if (typeof target === 'function') owner.itself = target
    return owner
  }

  /** The method is known to be called on `self`, or on nothing else where it is static. */
  seen(self, method, isStatic) {
    this.#class ??= definer(self, this.#name, method)
    if (isStatic) this.itself = self
  }

  /** What default keys begin with. */
  nameOf(self, method) {
    this.#class ??= definer(self, this.#name, method)
    const known = this.#class?.name ?? classOf(self)
    if (known === '') throw wrong('key must be given, or name: nothing tells yet whose method this is')
    return `${known}.${String(this.#name)}`
  }
}

/** The class whose own method this is, not one that inherits it. */
function definer(self, name, method) {
  for (let at = self; at !== undefined && at !== null; at = Object.getPrototypeOf(at)) {
    if (Object.getOwnPropertyDescriptor(at, name)?.value === method) return typeof at === 'function' ? at : at.constructor
  }
  return undefined
}

/** The class of what a method is called on. */
function classOf(self) {
  if (typeof self === 'function') return self.name
  return self?.constructor?.name ?? ''
}

module.exports = { Owner }
