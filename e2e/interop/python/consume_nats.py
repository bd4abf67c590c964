"""Reads CloudEvents from a JetStream stream and prints one line of JSON for each.

Arguments: server's URL, stream, number of events.
"""

# example: begin
import asyncio
import sys

import nats
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings import http
from nats.js.api import ConsumerConfig, DeliverPolicy

from line import print_line


def event_of(message: nats.aio.msg.Msg) -> BaseCloudEvent:
    """The SDK has no NATS binding. That of HTTP differs in one name: where HTTP says content-type in
    binary mode, NATS says ce-datacontenttype."""
    headers = {name.lower(): value for name, value in (message.headers or {}).items()}
    if "ce-datacontenttype" in headers:
        headers["content-type"] = headers.pop("ce-datacontenttype")
    return http.from_http_event(http.HTTPMessage(headers=headers, body=message.data))


async def consume(server: str, stream: str, wanted: int) -> None:
    connection = await nats.connect(server)
    jetstream = connection.jetstream()
    subscription = await jetstream.subscribe(
        ">", stream=stream, ordered_consumer=True, config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
    )
    for _ in range(wanted):
        message = await subscription.next_msg(timeout=30)
        print_line(event_of(message), message.subject, None)
    await connection.close()


if __name__ == "__main__":
    asyncio.run(consume(sys.argv[1], sys.argv[2], int(sys.argv[3])))
# example: end
