"""A plain loop: one message, one `session.run`, one commit every 100 messages."""

import json

from confluent_kafka import Consumer, Producer

from benchmarks.peers.model import Model, Place


def main() -> None:
    place = Place.told()
    model = Model(place)
    consumer = Consumer(
        {
            "bootstrap.servers": place.bootstrap,
            "group.id": place.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({"bootstrap.servers": place.bootstrap, "enable.idempotence": True})
    consumer.subscribe([place.uploaded])
    done = 0
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        event = json.loads(message.value() or b"")
        (verdict,) = model.judged(model.pixels(event["image"]["path"])[None])
        producer.produce(place.moderated, json.dumps(verdict), message.key())
        done += 1
        if done % 100 == 0:
            producer.flush()
            consumer.commit(asynchronous=False)


if __name__ == "__main__":
    main()
