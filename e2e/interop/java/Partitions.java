import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;

/**
 * Prints the partition that the official client chooses for each key, one key a line on standard input.
 *
 * <p>Argument: the number of partitions.
 */
public final class Partitions {
  private Partitions() {}

  public static void main(String[] args) throws Exception {
    int partitions = Integer.parseInt(args[0]);
    var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    StringBuilder out = new StringBuilder();
    for (String key = in.readLine(); key != null; key = in.readLine()) {
      int partition = BuiltInPartitioner.partitionForKey(key.getBytes(StandardCharsets.UTF_8), partitions);
      out.append(partition).append('\n');
    }
    System.out.print(out);
  }
}
