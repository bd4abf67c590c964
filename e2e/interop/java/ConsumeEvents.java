import static java.time.format.DateTimeFormatter.ISO_OFFSET_DATE_TIME;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.cloudevents.CloudEvent;
import io.cloudevents.kafka.CloudEventDeserializer;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Reads CloudEvents from a Kafka topic and prints one line of JSON for each.
 *
 * <p>Arguments: bootstrap servers, topic, number of events.
 */
public final class ConsumeEvents {
  private static final ObjectMapper JSON = new ObjectMapper();

  private ConsumeEvents() {}

  public static void main(String[] args) throws Exception {
    String brokers = args[0];
    String topic = args[1];
    int wanted = Integer.parseInt(args[2]);
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    // example: begin
    Map<String, Object> config = Map.of("bootstrap.servers", brokers, "auto.offset.reset", "earliest");
    try (var consumer =
        new KafkaConsumer<String, CloudEvent>(config, new StringDeserializer(), new CloudEventDeserializer())) {
      // Binary and structured events may be mixed: the deserializer looks at the content-type header.
      consumer.assign(
          consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList());
      for (int seen = 0; seen < wanted; ) {
        for (ConsumerRecord<String, CloudEvent> record : consumer.poll(Duration.ofSeconds(1))) {
          out.println(line(record));
          seen++;
        }
      }
    }
    // example: end
    out.flush();
  }

  private static String line(ConsumerRecord<String, CloudEvent> record) throws Exception {
    CloudEvent event = record.value();
    ObjectNode line = JSON.createObjectNode();
    line.put("specversion", event.getSpecVersion().toString());
    line.put("id", event.getId());
    line.put("type", event.getType());
    line.put("source", event.getSource().toString());
    line.put("subject", event.getSubject());
    line.put("time", ISO_OFFSET_DATE_TIME.format(event.getTime()));
    line.put("dataschema", event.getDataSchema() == null ? null : event.getDataSchema().toString());
    line.put("datacontenttype", event.getDataContentType());
    line.set("data", JSON.readTree(event.getData().toBytes()));
    ObjectNode extensions = line.putObject("extensions");
    for (String name : event.getExtensionNames()) {
      extensions.put(name, event.getExtension(name).toString());
    }
    line.put("key", record.key());
    line.put("partition", record.partition());
    return JSON.writeValueAsString(line);
  }
}
