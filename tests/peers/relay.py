"""A relay by rust-nostr (`LocalRelay`), for tests: it shares no line with nipworker.

    python relay.py --port N [--refuse REASON] [--min-pow BITS] [--auth]

Prints one JSON line `{"ready": "ws://…"}` once it listens, and ends when its standard input ends,
so that it never outlives the test that started it. It keeps its events in memory only.
"""

import argparse
import asyncio
import json
import sys

from nostr_sdk import (
    LocalRelayBuilder,
    LocalRelayBuilderNip42,
    LocalRelayBuilderNip42Mode,
    RateLimit,
    WritePolicy,
    WritePolicyResult,
    uniffi_set_event_loop,
)


class Refuse(WritePolicy):
    """Refuses every event with one reason."""

    def __init__(self, reason):
        super().__init__()
        self.reason = reason

    async def admit_event(self, event, socket_addr):
        return WritePolicyResult.REJECT(self.reason)


async def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--refuse")
    arguments.add_argument("--min-pow", type=int)
    arguments.add_argument("--auth", action="store_true", help="serve only whom it knows (NIP-42)")
    options = arguments.parse_args()

    loop = asyncio.get_running_loop()
    uniffi_set_event_loop(loop)
    builder = (
        LocalRelayBuilder()
        .addr("127.0.0.1")
        .port(options.port)
        .rate_limit(RateLimit(max_reqs=1_000_000, notes_per_minute=1_000_000))
        .default_filter_limit(10_000)
        .max_filter_limit(10_000)
    )
    if options.refuse is not None:
        builder = builder.write_policy(Refuse(options.refuse))
    if options.min_pow is not None:
        builder = builder.min_pow(options.min_pow)
    if options.auth:
        builder = builder.nip42(LocalRelayBuilderNip42(mode=LocalRelayBuilderNip42Mode.BOTH))
    relay = builder.build()
    await relay.run()
    print(json.dumps({"ready": str(await relay.url())}), flush=True)

    await loop.run_in_executor(None, sys.stdin.read)
    relay.shutdown()


asyncio.run(main())
