// The agent does steps that another program sends, one JSON object a line, and answers each with {"ok": true} or
// {"ok": false, "why": "…"}. The first step opens a cache with its url and prefix.

import { createInterface } from 'node:readline'

import { Runner } from './runner.mjs'
import { parse } from './values.mjs'

export async function runAgent(input, output) {
  const runner = new Runner({})
  for await (const line of createInterface({ input })) {
    if (line.trim() === '') continue
    let verdict = { ok: true }
    try {
      await runner.step(parse(line))
    } catch (error) {
      verdict = { ok: false, why: String(error?.message ?? error) }
    }
    output.write(`${JSON.stringify(verdict)}\n`)
  }
  await runner.closeAll()
}
