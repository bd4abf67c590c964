"""Reads CloudEvents from a Kafka topic and prints one line of JSON for each.

Arguments: bootstrap servers, topic, number of events.
"""

# example: begin
import sys

from cloudevents.core.bindings import kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from line import print_line


def main(bootstrap: str, topic: str, wanted: int) -> None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "example", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in partitions])
    seen = 0
    while seen < wanted:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise RuntimeError(message.error())
        # The SDK takes a message for a binary one if it has any ce_ header, and for a structured one otherwise.
        event = kafka.from_kafka_event(
            kafka.KafkaMessage(headers=dict(message.headers()), key=message.key(), value=message.value())
        )
        print_line(event, message.key().decode(), message.partition())
        seen += 1
    consumer.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
# example: end
