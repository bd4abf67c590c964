// Reads CloudEvents from a Kafka topic and prints one line of JSON for each.
// Arguments: bootstrap servers, topic, number of events.

// example: begin
import { Kafka as Binding } from "cloudevents";
import kafkajs from "kafkajs";
import { printLine } from "./line.js";

const [bootstrap, topic, wanted] = process.argv.slice(2);

// The client hands out headers as Buffers, but the SDK wants strings.
function eventOf(message) {
  const headers = {};
  for (const [name, value] of Object.entries(message.headers)) {
    headers[name] = value.toString();
  }
  return Binding.toEvent({ headers, key: message.key.toString(), value: message.value });
}

const client = new kafkajs.Kafka({ brokers: bootstrap.split(","), logLevel: kafkajs.logLevel.ERROR });
const consumer = client.consumer({ groupId: `example-${process.pid}` });
await consumer.connect();
await consumer.subscribe({ topics: [topic], fromBeginning: true });
let seen = 0;
const done = new Promise((resolve, reject) => {
  consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
  consumer.run({
    eachMessage: async ({ partition, message }) => {
      printLine(eventOf(message), message.key.toString(), partition);
      if (++seen === Number(wanted)) resolve();
    },
  });
});
await done;
await consumer.disconnect();
// example: end
