import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Prints every record that is in a Kafka topic when it starts, as one line of JSON: its key, partition, offset,
 * headers as text, and value, which must be JSON or nothing.
 *
 * <p>Arguments: bootstrap servers, topic.
 */
public final class ReadTopic {
  private static final ObjectMapper JSON = new ObjectMapper();

  private ReadTopic() {}

  public static void main(String[] args) throws Exception {
    String topic = args[1];
    PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16), false, StandardCharsets.UTF_8);
    Map<String, Object> config =
        Map.of(
            "bootstrap.servers", args[0],
            "auto.offset.reset", "earliest",
            "isolation.level", "read_committed");
    try (var consumer =
        new KafkaConsumer<String, byte[]>(config, new StringDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> partitions =
          consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
        for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
          out.println(line(record));
        }
      }
    }
    out.flush();
  }

  private static String line(ConsumerRecord<String, byte[]> record) throws Exception {
    ObjectNode line = JSON.createObjectNode();
    line.put("key", record.key());
    line.put("partition", record.partition());
    line.put("offset", record.offset());
    ObjectNode headers = line.putObject("headers");
    for (Header header : record.headers()) {
      headers.put(header.key(), new String(header.value(), StandardCharsets.UTF_8));
    }
    line.set("value", record.value() == null ? null : JSON.readTree(record.value()));
    return JSON.writeValueAsString(line);
  }
}
