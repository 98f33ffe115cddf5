"""Clients of message brokers."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, Final

from probe import OUTAGE_S, Probe, Way, fails
from servers import amqp, kafka, mqtt, nats

if TYPE_CHECKING:
    from nats.aio.msg import Msg

PATIENCE_S: Final = 3.0


async def nats_() -> None:
    import nats as client_of_nats

    client = await client_of_nats.connect("nats://nats", connect_timeout=3, ping_interval=60)
    inbox = await client.subscribe("news")

    async def answer(message: Msg) -> None:
        await message.respond(message.data.upper())

    await client.subscribe("upper", cb=answer)
    await client.publish("news", b"hello")
    assert (await inbox.next_msg(timeout=PATIENCE_S)).data == b"hello"
    assert (await client.request("upper", b"hello", timeout=PATIENCE_S)).data == b"HELLO"
    await asyncio.sleep(OUTAGE_S)
    with fails(client_of_nats.errors.TimeoutError):
        await client.request("upper", b"hello", timeout=PATIENCE_S)
    await client.close()


def paho_mqtt() -> None:
    from paho.mqtt.client import CallbackAPIVersion, Client

    received: Queue[bytes] = Queue()
    client = Client(CallbackAPIVersion.VERSION2, client_id="probe")
    client.on_message = lambda client, data, message: received.put(message.payload)
    client.connect("mqtt")
    client.loop_start()  # a thread of its own
    client.subscribe("news")
    client.publish("news", b"hello", qos=1).wait_for_publish(PATIENCE_S)
    assert received.get(timeout=PATIENCE_S) == b"hello"
    time.sleep(OUTAGE_S)
    client.publish("news", b"hello", qos=0)
    with fails(Empty):
        received.get(timeout=PATIENCE_S)
    client.loop_stop()


def kombu_() -> None:
    from kombu import Connection

    with (
        suppress(OSError),  # its end is said to nobody
        Connection("amqp://guest:guest@rabbit//", connect_timeout=PATIENCE_S) as connection,
        connection.SimpleQueue("jobs") as queue,
    ):
        queue.put({"job": 1})
        message = queue.get(timeout=PATIENCE_S)
        assert message.payload == {"job": 1}
        message.ack()
        time.sleep(OUTAGE_S)
        queue.put({"job": 2})
        with fails(Empty):
            queue.get(timeout=PATIENCE_S)


async def aiokafka_() -> None:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.errors import KafkaError

    address = "kafka:9092"
    async with AIOKafkaProducer(bootstrap_servers=address, request_timeout_ms=3000) as producer:
        assert (await producer.send_and_wait("news", b"hello")).offset == 0
        words: dict[str, Any] = {"auto_offset_reset": "earliest", "group_id": None}
        async with AIOKafkaConsumer("news", bootstrap_servers=address, **words) as consumer:
            assert (await consumer.getone()).value == b"hello"
        await asyncio.sleep(OUTAGE_S)
        with fails(KafkaError):
            await producer.send_and_wait("news", b"hello")


def kafka_python() -> None:
    from kafka import KafkaConsumer, KafkaProducer
    from kafka.errors import KafkaError

    address = "kafka:9092"
    producer = KafkaProducer(
        bootstrap_servers=address,
        enable_idempotence=False,
        request_timeout_ms=3000,
        delivery_timeout_ms=4000,
    )
    assert producer.send("news", b"hello").get(timeout=PATIENCE_S).offset == 0
    words: dict[str, Any] = {
        "auto_offset_reset": "earliest",
        "group_id": None,
        "consumer_timeout_ms": 3000,
    }
    consumer = KafkaConsumer("news", bootstrap_servers=address, **words)
    assert next(iter(consumer)).value == b"hello"
    consumer.close()
    time.sleep(OUTAGE_S)
    with fails(KafkaError):
        producer.send("news", b"hello").get(timeout=60)
    with suppress(KafkaError):  # it cannot say what it still has to say
        producer.close(timeout=1)


def celery_() -> None:
    from celery import Celery
    from celery.contrib.testing.worker import start_worker

    app = Celery("shop", broker="amqp://guest:guest@rabbit//", backend="cache+memory://")
    done: Queue[int] = Queue()

    @app.task(name="add")
    def add(a: int, b: int) -> None:
        done.put(a + b)

    with start_worker(app, perform_ping_check=False, shutdown_timeout=30.0):
        add.delay(40, 2)
        assert done.get(timeout=PATIENCE_S) == 42
        time.sleep(OUTAGE_S)
        add.delay(40, 2)
        with fails(Empty):
            done.get(timeout=PATIENCE_S)


PROBES: Final = (
    Probe("nats-py", "nats-py", Way.ASYNCIO, nats_, {"nats": nats.serve}, "fake NATS"),
    Probe("paho-mqtt", "paho-mqtt", Way.BLOCKING, paho_mqtt, {"mqtt": mqtt.serve}, "fake MQTT"),
    Probe("kombu", "kombu", Way.BLOCKING, kombu_, {"rabbit": amqp.serve}, "fake AMQP 0-9-1"),
    Probe("Celery", "celery", Way.BLOCKING, celery_, {"rabbit": amqp.serve}, "fake AMQP 0-9-1"),
    Probe("aiokafka", "aiokafka", Way.ASYNCIO, aiokafka_, {"kafka": kafka.serve}, "fake Kafka"),
    Probe(
        "kafka-python",
        "kafka-python",
        Way.BLOCKING,
        kafka_python,
        {"kafka": kafka.serve},
        "fake Kafka",
    ),
)
