// A client by nostr-tools, driven over standard input and output.
//
// One JSON object a line. A command carries `seq` and is answered by one line with the same `seq`
// and either `value` or `error`. What a subscription brings comes in lines of its own:
// `{"sub": id, "event": {…}}`, `{"sub": id, "eose": true}`, `{"sub": id, "closed": reason}`.
// Ends when standard input ends. Run with the folder that holds node_modules as first argument.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const require = createRequire(pathToFileURL(`${process.argv[2]}/package.json`))
const { Relay, useWebSocketImplementation } = require('nostr-tools/relay')
const { generateSecretKey, getPublicKey, finalizeEvent, verifyEvent, getEventHash } =
  require('nostr-tools/pure')
const nip11 = require('nostr-tools/nip11')
const nip13 = require('nostr-tools/nip13')
useWebSocketImplementation(require('ws'))

const secret = generateSecretKey()
const subscriptions = new Map()
let relay

const say = line => process.stdout.write(JSON.stringify(line) + '\n')

const commands = {
  async connect({ url }) {
    relay = new Relay(url)
    relay.onnotice = text => say({ notice: text })
    relay.onclose = () => say({ disconnected: true })
    await relay.connect({ timeout: 10_000 })
  },
  make: ({ kind = 1, content = '', tags = [], created_at = Math.floor(Date.now() / 1000) }) =>
    finalizeEvent({ kind, content, tags, created_at }, secret),
  publicKey: () => getPublicKey(secret),
  async publish({ event }) {
    try {
      return { accepted: true, message: await relay.publish(event) }
    } catch (error) {
      return { accepted: false, message: error.message }
    }
  },
  subscribe({ sub, filters }) {
    subscriptions.set(
      sub,
      relay.subscribe(filters, {
        id: sub,
        eoseTimeout: 60_000,
        onevent: event => say({ sub, event }),
        oninvalidevent: event => say({ sub, invalid: event }),
        oneose: () => say({ sub, eose: true }),
        onclose: reason => say({ sub, closed: reason }),
      }),
    )
  },
  close({ sub }) {
    subscriptions.get(sub).close()
    subscriptions.delete(sub)
  },
  fetch: ({ filters }) =>
    new Promise((resolve, reject) => {
      const events = []
      const subscription = relay.subscribe(filters, {
        eoseTimeout: 60_000,
        onevent: event => events.push(event),
        oneose: () => {
          resolve(events)
          subscription.close()
        },
        onclose: reason => reject(new Error(reason)),
      })
    }),
  count: ({ filters }) => relay.count(filters, {}),
  nip11: ({ url }) => nip11.fetchRelayInformation(url),
  verify: ({ event }) => verifyEvent(event),
  pow: ({ event }) => ({ bits: nip13.getPow(event.id), id_matches: getEventHash(event) === event.id }),
}

// What is wrong with events that were mined to so many bits and signed; nothing when all is well.
// Of the signatures, which take a hundred times as long as the rest, one in ten is checked.
commands.mined = ({ events }) =>
  events.flatMap(({ event, bits }, index) => {
    const nonce = event.tags.at(-1)
    const nonces = event.tags.filter(tag => tag[0] === 'nonce')
    const wrong = []
    if (getEventHash(event) !== event.id) wrong.push('the id is not the hash')
    if (nip13.getPow(event.id) < bits) wrong.push('the work is missing')
    if (nonces.length !== 1 || nonce[0] !== 'nonce') wrong.push('the nonce tag is not last')
    if (nonce.length !== 3 || nonce[2] !== String(bits)) wrong.push('it commits to something else')
    if (index % 10 === 0 && !verifyEvent(event)) wrong.push('the signature is wrong')
    return wrong.length ? [{ event, bits, wrong }] : []
  })

say({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const { seq, cmd, ...command } = JSON.parse(line)
  // Not awaited: an answer that is long in coming holds up no other command.
  Promise.resolve()
    .then(() => commands[cmd](command))
    .then(value => say({ seq, value: value ?? null }))
    .catch(error => say({ seq, error: String(error?.message ?? error) }))
}
process.exit(0)
