// Mines NIP-13 notes the way JavaScript programs do, driven over standard input and output.
//
// One JSON object a line; each command is answered by one line. It uses no CPU time between
// commands, so that contenders can take turns. Run with the folder that holds node_modules as
// first argument. Ends when standard input ends.
//
// Peers: `create-hash` (worker_threads and node:crypto, see create-hash-worker.mjs) and
// `nostr-tools` (its minePow, which is synchronous and has one thread).
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { performance } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'

const packages = process.argv[2]
const require = createRequire(pathToFileURL(`${packages}/package.json`))

// What is not installed is no peer, and the others still are.
function orNothing(load) {
  try {
    return load()
  } catch {
    return undefined
  }
}
const nip13 = orNothing(() => require('nostr-tools/nip13'))
const manifest = `${packages}/node_modules/nostr-tools/package.json`
const nostrTools = nip13 && orNothing(() => JSON.parse(readFileSync(manifest)).version)

const workers = []

function ask(index, command) {
  workers[index] ??= new Worker(new URL('./create-hash-worker.mjs', import.meta.url))
  return new Promise((resolve, reject) => {
    const worker = workers[index]
    worker.removeAllListeners()
    worker.once('message', resolve)
    worker.once('error', reject)
    worker.postMessage(command)
  })
}

let authors = 0

const peers = {
  'create-hash': {
    async measure({ workers, event, millis }) {
      const parts = Array.from({ length: workers }, (_, index) =>
        ask(index, { event, bits: 60, start: index, step: workers, millis }),
      )
      return (await Promise.all(parts)).reduce((sum, part) => sum + part.attempts, 0)
    },
    mine: async ({ event, bits }) =>
      (await ask(0, { event, bits, start: 0, step: 1, millis: 60_000 })).event,
  },
  'nostr-tools': {
    // It counts from 1, so the nonce is the number of attempts, unless the second has changed:
    // then it began anew, and that run does not count; one that counts is always made.
    measure({ event, millis }, cpu) {
      const end = performance.now() + millis
      let attempts = 0
      while (performance.now() < end || attempts === 0) {
        const created_at = Math.floor(Date.now() / 1000)
        // Of another author each time: the same event would have the same nonce for a second, and
        // the rate would hang on that one.
        authors += 1
        const pubkey = authors.toString(16).padStart(64, '0')
        const before = process.cpuUsage()
        const mined = nip13.minePow(structuredClone({ ...event, pubkey, created_at }), 10)
        if (mined.created_at === created_at) attempts += Number(mined.tags.at(-1)[1])
        // How much was tried before the second changed is not known: such a run does not count.
        else cpu.discarded += seconds(process.cpuUsage(before))
      }
      return attempts
    },
    mine: ({ event, bits }) => {
      const { id, ...unsigned } = nip13.minePow(event, bits)
      return unsigned
    },
  },
}

const seconds = ({ user, system }) => (user + system) / 1e6

const commands = {
  hello: () => ({ node: process.version, nostrTools }),
  // CPU time is that of the process: what the compiler and the collector of Node take on other
  // threads is part of the price.
  async measure(command) {
    // As long once more before it counts: between its turns Node may have thrown away what it had
    // compiled, and has to find out anew what is worth it.
    await peers[command.peer].measure(command, { discarded: 0 })
    const cpu = { discarded: 0 }
    const before = process.cpuUsage()
    const attempts = await peers[command.peer].measure(command, cpu)
    return { attempts, cpuSeconds: seconds(process.cpuUsage(before)) - cpu.discarded }
  },
  mine: async command => ({ event: await peers[command.peer].mine(command) }),
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  process.stdout.write(`${JSON.stringify(await commands[command.do](command))}\n`)
}
process.exit(0)
