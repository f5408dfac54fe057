// A real SQLite for the tests: the one of Python, in a process of its own, for not every Node.js that runs them has one.

import { spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'

const PROGRAM = `
import json, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
for line in sys.stdin:
    try:
        connection.execute("BEGIN IMMEDIATE")
        answer = []
        for statement, parameters in json.loads(line):
            answer = connection.execute(statement, parameters).fetchall()
        connection.execute("COMMIT")
        print(json.dumps({"rows": answer}), flush=True)
    except Exception as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        print(json.dumps({"error": str(error)}), flush=True)
`

const SET = 'INSERT INTO rows VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value, sequence = excluded.sequence WHERE rows.sequence < excluded.sequence'

/** A table of values and one of changes, which refuse what they have already. It ends with the test. */
export async function database(t, folder) {
  const python = spawn('python3', ['-c', PROGRAM, path.join(folder, 'rows.db')], { stdio: ['pipe', 'pipe', 'inherit'] })
  const answers = createInterface({ input: python.stdout })[Symbol.asyncIterator]()
  t.after(() => new Promise((resolve) => { python.once('exit', resolve); python.stdin.end() }))
  let last = Promise.resolve()

  /** Runs statements in one transaction, one after the other; gives the rows of the last. */
  function run(...statements) {
    const mine = last.catch(() => {}).then(async () => {
      python.stdin.write(`${JSON.stringify(statements)}\n`)
      const { rows, error } = JSON.parse((await answers.next()).value)
      if (error !== undefined) throw new Error(error)
      return rows
    })
    last = mine
    return mine
  }

  await run(
    ['CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, value TEXT, sequence INTEGER NOT NULL)', []],
    ['CREATE TABLE IF NOT EXISTS changes (id TEXT PRIMARY KEY, key TEXT, change INTEGER)', []],
  )
  return {
    /** A writer. */
    async write(writes) {
      await run(...writes.map((write) => (write.kind === 'delta'
        ? ['INSERT INTO changes VALUES (?, ?, ?) ON CONFLICT DO NOTHING', [write.id, write.key, write.value]]
        : [SET, [write.key, write.kind === 'delete' ? null : JSON.stringify(write.value), write.sequence]])))
    },
    async rows() {
      const rows = await run(['SELECT key, value FROM rows WHERE value IS NOT NULL', []])
      return Object.fromEntries(rows.map(([key, value]) => [key, JSON.parse(value)]))
    },
    async changeOf(key) {
      const [[change]] = await run(['SELECT TOTAL(change) FROM changes WHERE key = ?', [key]])
      return change
    },
  }
}
