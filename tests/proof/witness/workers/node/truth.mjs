// The truth, as `truth.py` serves it.

import net from 'node:net'
import { once } from 'node:events'

export class Truth {
  #socket
  #asked = []
  #text = ''

  static async connect(path) {
    const truth = new Truth()
    truth.#socket = net.connect(path)
    truth.#socket.setEncoding('ascii')
    truth.#socket.on('data', (piece) => truth.#hear(piece))
    await once(truth.#socket, 'connect')
    return truth
  }

  /** The committed versions of these keys. */
  read(keys) {
    return this.#ask(`r ${keys.join(' ')}`)
  }

  /** Commits the next version of a key. */
  async write(key) {
    return (await this.#ask(`w ${key}`))[0]
  }

  close() {
    this.#socket.destroy()
  }

  #ask(line) {
    this.#socket.write(line + '\n')
    return new Promise((resolve) => this.#asked.push(resolve))
  }

  #hear(piece) {
    const lines = (this.#text + piece).split('\n')
    this.#text = lines.pop()
    for (const line of lines) this.#asked.shift()(line.split(' ').map(Number))
  }
}
