package io.tillstream.example;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.nio.file.Files;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.InvalidStateStoreException;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.QueryableStoreTypes;

/**
 * Revenue per currency, kept up to date by Kafka Streams, exactly once: what an order is after a fact less what it was
 * before it.
 *
 * <p>Usage: Revenue ENDPOINTS_JSON [WORKSPACE]. Prints one JSON document once no fact has come for some seconds.
 */
public final class Revenue {
    private static final String FACTS = "commerce.facts.v1";
    private static final String REVENUE = "revenue";
    private static final Duration QUIET = Duration.ofSeconds(5);
    private static final Duration PATIENCE = Duration.ofMinutes(2);

    private Revenue() {}

    public static void main(String[] arguments) throws Exception {
        JsonNode endpoints = new ObjectMapper().readTree(new File(arguments[0]));
        String workspace = arguments.length > 1 ? arguments[1] : "demo";

        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(FACTS, Consumed.with(Serdes.String(), Facts.serde(endpoints.get("registry").asText())))
                .filter((key, fact) -> fact.get("workspace").toString().equals(workspace))
                .flatMap((key, fact) -> Stream.concat(
                                counted((GenericRecord) fact.get("before"), -1),
                                counted((GenericRecord) fact.get("after"), 1))
                        .toList())
                .groupByKey(Grouped.with(Serdes.String(), Serdes.Long()))
                .reduce(Long::sum, Materialized.as(REVENUE));

        Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "example-java-" + System.currentTimeMillis());
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, endpoints.get("kafka").asText());
        // Reads committed records only, and commits offsets and sums together.
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, Files.createTempDirectory("revenue").toString());
        properties.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");

        try (KafkaStreams streams = new KafkaStreams(builder.build(), properties)) {
            streams.start();
            Map<String, Long> revenue = quiet(streams);
            revenue.values().removeIf(minor -> minor == 0);
            System.out.println(new ObjectMapper().writeValueAsString(Map.of("facts", revenue)));
        }
    }

    /** What an order adds to the revenue, times a sign: its total while it counts and is no test. */
    private static Stream<KeyValue<String, Long>> counted(GenericRecord order, long sign) {
        if (order == null || !(boolean) order.get("counted") || (boolean) order.get("qa")) {
            return Stream.empty();
        }
        GenericRecord total = (GenericRecord) order.get("total");
        return total == null
                ? Stream.empty()
                : Stream.of(KeyValue.pair(total.get("currency").toString(), sign * (long) total.get("minor")));
    }

    /** The sums, once nothing has changed them for a while. */
    private static Map<String, Long> quiet(KafkaStreams streams) throws InterruptedException {
        Map<String, Long> revenue = new TreeMap<>();
        long changed = System.nanoTime();
        while (revenue.isEmpty() || System.nanoTime() - changed < QUIET.toNanos()) {
            if (System.nanoTime() - changed > PATIENCE.toNanos()) {
                throw new IllegalStateException("no fact came: " + streams.state());
            }
            Thread.sleep(200);
            Map<String, Long> now = rows(streams);
            if (!now.equals(revenue)) {
                changed = System.nanoTime();
                revenue = now;
            }
        }
        return revenue;
    }

    /** All rows of the table; none while its partitions are moving. */
    private static Map<String, Long> rows(KafkaStreams streams) {
        Map<String, Long> rows = new TreeMap<>();
        try (var all = streams.store(StoreQueryParameters.fromNameAndType(
                        REVENUE, QueryableStoreTypes.<String, Long>keyValueStore()))
                .all()) {
            all.forEachRemaining(row -> rows.put(row.key, row.value));
        } catch (InvalidStateStoreException e) {
            rows.clear();
        }
        return rows;
    }
}
