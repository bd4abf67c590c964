// Reads CloudEvents from a JetStream stream and prints one line of JSON for each.
// Arguments: server's URL, stream, number of events.

// example: begin
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { HTTP } from "cloudevents";
import { printLine } from "./line.js";

const [server, stream, wanted] = process.argv.slice(2);

// The SDK has no NATS binding. That of HTTP differs in one name: where HTTP says content-type in
// binary mode, NATS says ce-datacontenttype. The SDK wants names of headers, and the content type,
// in lower case.
function eventOf(message) {
  const headers = {};
  for (const [name, values] of message.headers ?? []) {
    headers[name.toLowerCase()] = values[0];
  }
  const { "ce-datacontenttype": datacontenttype, ...rest } = headers;
  rest["content-type"] = (datacontenttype ?? headers["content-type"]).toLowerCase();
  return HTTP.toEvent({ headers: rest, body: message.string() });
}

const connection = await connect({ servers: server });
const consumer = await jetstream(connection).consumers.get(stream); // an ordered consumer
let seen = 0;
for await (const message of await consumer.consume()) {
  printLine(eventOf(message), message.subject, null);
  if (++seen === Number(wanted)) break;
}
await connection.close();
// example: end
