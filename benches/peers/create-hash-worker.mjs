// The loop that a JavaScript programmer writes: a fresh event, JSON and a digest for each nonce.
import { createHash } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import { parentPort } from 'node:worker_threads'

function leadingZeroBits(hex) {
  let bits = 0
  for (const digit of hex) {
    const value = parseInt(digit, 16)
    if (value !== 0) return bits + Math.clz32(value) - 28
    bits += 4
  }
  return bits
}

// Tries the nonces start, start + step, … until one has the bits or the time is over.
function mine({ event, bits, start, step, millis }) {
  const end = performance.now() + millis
  let attempts = 0
  for (let nonce = start; ; nonce += step) {
    const tags = [...event.tags, ['nonce', String(nonce), String(bits)]]
    const candidate = { ...event, tags }
    const { pubkey, created_at, kind, content } = candidate
    const serialised = JSON.stringify([0, pubkey, created_at, kind, candidate.tags, content])
    const id = createHash('sha256').update(serialised).digest('hex')
    attempts += 1
    if (leadingZeroBits(id) >= bits) return { attempts, event: candidate }
    if (attempts % 256 === 0 && performance.now() >= end) return { attempts }
  }
}

parentPort.on('message', command => parentPort.postMessage(mine(command)))
