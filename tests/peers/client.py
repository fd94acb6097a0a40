"""A client by rust-nostr (`nostr-sdk`), driven over standard input and output.

One JSON object a line. A command carries `seq` and is answered by one line with the same `seq` and
either `value` or `error`. What a subscription brings comes in lines of its own:
`{"sub": id, "event": {…}}`, `{"sub": id, "eose": true}`, `{"sub": id, "closed": reason}`.
Ends when standard input ends.
"""

import asyncio
import functools
import json
import sys
from datetime import timedelta

from nostr_sdk import (
    ClientBuilder,
    ClientNotification,
    DatabaseEventStatus,
    Event,
    EventBuilder,
    Filter,
    Keys,
    Kind,
    NostrDatabase,
    NostrDatabaseFeatures,
    RelayMessageEnum,
    RelayUrl,
    ReqTarget,
    SaveEventStatus,
    SyncDirection,
    SyncOptions,
    Tag,
    Timestamp,
    UnsignedEvent,
    get_prefixes_for_difficulty,
    uniffi_set_event_loop,
)

FETCH_TIMEOUT = timedelta(seconds=20)


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


@functools.cache
def prefixes(bits):
    return get_prefixes_for_difficulty(bits)


class Held(NostrDatabase):
    """What the client has, in a list: what it would compare, which it keeps nowhere by itself."""

    def __init__(self):
        self.events = {}

    def backend(self):
        return "list"

    def features(self):
        return NostrDatabaseFeatures(
            persistent=False,
            event_expiration=False,
            full_text_search=False,
            request_to_vanish=False,
        )

    async def save_event(self, event):
        self.events[event.id().to_hex()] = event
        return SaveEventStatus.success()

    async def check_id(self, event_id):
        held = event_id.to_hex() in self.events
        return DatabaseEventStatus.SAVED if held else DatabaseEventStatus.NOT_EXISTENT

    async def event_by_id(self, event_id):
        return self.events.get(event_id.to_hex())

    async def count(self, filter):
        return len(await self.query(filter))

    async def query(self, filter):
        return [event for event in self.events.values() if filter.match_event(event)]

    async def delete_events(self, filter):
        for event in await self.query(filter):
            del self.events[event.id().to_hex()]

    async def wipe(self):
        self.events.clear()


class Driver:
    """The commands, one method each; a method's name is the command's."""

    def __init__(self):
        self.keys = Keys.generate()
        self.client = ClientBuilder().build()
        self.pump = None

    async def connect(self, url):
        await self.client.add_relay(RelayUrl.parse(url))
        output = await self.client.try_connect(timedelta(seconds=10))
        if output.failed:
            raise RuntimeError(str(output.failed))
        notifications = self.client.notifications()
        self.pump = asyncio.create_task(self.forward(notifications))

    async def forward(self, notifications):
        while (notification := await notifications.next()) is not None:
            if not isinstance(notification, ClientNotification.MESSAGE):
                continue
            message = notification.message.as_enum()
            if isinstance(message, RelayMessageEnum.EVENT_MSG):
                say({"sub": message.subscription_id, "event": json.loads(message.event.as_json())})
            elif isinstance(message, RelayMessageEnum.END_OF_STORED_EVENTS):
                say({"sub": message.subscription_id, "eose": True})
            elif isinstance(message, RelayMessageEnum.CLOSED):
                say({"sub": message.subscription_id, "closed": message.message})

    async def make(self, kind=1, content="", tags=(), created_at=None):
        builder = EventBuilder(Kind(kind), content).tags([Tag.parse(list(tag)) for tag in tags])
        if created_at is not None:
            builder = builder.custom_created_at(Timestamp.from_secs(created_at))
        return json.loads(builder.finalize(self.keys).as_json())

    async def publish(self, event):
        output = await self.client.send_event(Event.from_json(json.dumps(event)))
        failed = list(output.failed.values())
        return {"accepted": not failed, "message": failed[0] if failed else ""}

    async def subscribe(self, sub, filters):
        target = ReqTarget.auto([Filter.from_json(json.dumps(each)) for each in filters])
        output = await self.client.subscribe(target, id=sub)
        if output.failed:
            raise RuntimeError(str(output.failed))

    async def close(self, sub):
        await self.client.unsubscribe(sub)

    async def fetch(self, filters):
        target = ReqTarget.auto([Filter.from_json(json.dumps(each)) for each in filters])
        events = await self.client.fetch_events(target, timeout=FETCH_TIMEOUT)
        return [json.loads(event.as_json()) for event in events]

    async def sync(self, url, held, filter):
        """Reconciles (NIP-77) what is held and what the relay has; both get what they lack."""
        # The list is asked from other threads than this one's.
        uniffi_set_event_loop(asyncio.get_running_loop())
        database = Held()
        for event in held:
            await database.save_event(Event.from_json(json.dumps(event)))
        client = ClientBuilder().database(database).build()
        await client.add_relay(RelayUrl.parse(url))
        await client.try_connect(timedelta(seconds=10))
        options = SyncOptions().direction(SyncDirection.BOTH)
        output = await client.sync(Filter.from_json(json.dumps(filter)), opts=options)
        await client.shutdown()
        return {
            "failed": [str(why) for why in output.failed.values()],
            "received": len(output.report.received),
            "sent": len(output.report.sent),
        }

    async def verify(self, event):
        return Event.from_json(json.dumps(event)).verify()

    async def pow(self, event, difficulty):
        """Whether the id has the work, and is the hash of the content."""
        unsigned = dict(event)
        stated = unsigned.pop("id")
        computed = UnsignedEvent.from_json(json.dumps(unsigned)).ensure_id().id().to_hex()
        worked = any(stated.startswith(p) for p in get_prefixes_for_difficulty(difficulty))
        return {"id_matches": computed == stated, "worked": worked}

    async def mined(self, events):
        """What is wrong with events that were mined to so many bits and signed, if anything is."""
        findings = []
        for one in events:
            bits, wrong = one["bits"], []
            event = Event.from_json(json.dumps(one["event"]))
            tags = [tag.to_vec() for tag in event.tags()]
            stated = event.id().to_hex()
            if not event.verify_id():
                wrong.append("the id is not the hash")
            if not any(stated.startswith(p) for p in prefixes(bits)):
                wrong.append("the work is missing")
            if [tag[0] for tag in tags].count("nonce") != 1 or tags[-1][0] != "nonce":
                wrong.append("the nonce tag is not last")
            if len(tags[-1]) != 3 or tags[-1][2] != str(bits):
                wrong.append("it commits to something else")
            if not event.verify_signature():
                wrong.append("the signature is wrong")
            if wrong:
                findings.append({"event": one["event"], "bits": bits, "wrong": wrong})
        return findings


async def main():
    driver = Driver()
    loop = asyncio.get_running_loop()
    say({"ready": True})
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command = json.loads(line)
        seq, verb = command.pop("seq"), command.pop("cmd")
        try:
            say({"seq": seq, "value": await getattr(driver, verb)(**command)})
        except Exception as error:  # the test decides what an error means
            say({"seq": seq, "error": f"{type(error).__name__}: {error}"})
    await driver.client.shutdown()


asyncio.run(main())
