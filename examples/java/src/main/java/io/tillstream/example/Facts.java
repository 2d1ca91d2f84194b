package io.tillstream.example;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.common.errors.SerializationException;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** Reads Confluent's wire format: a zero byte, the number of the schema in the registry, the record. */
final class Facts implements Deserializer<GenericRecord> {
    private final String registry;
    private final HttpClient client = HttpClient.newHttpClient();
    private final Map<Integer, Schema> schemas = new ConcurrentHashMap<>();

    private Facts(String registry) {
        this.registry = registry;
    }

    static Serde<GenericRecord> serde(String registry) {
        return Serdes.serdeFrom(
                (topic, record) -> {
                    throw new UnsupportedOperationException("facts are read alone");
                },
                new Facts(registry));
    }

    @Override
    public GenericRecord deserialize(String topic, byte[] bytes) {
        if (bytes == null) {
            return null;
        }
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        if (buffer.get() != 0) {
            throw new SerializationException("not the wire format: " + topic);
        }
        Schema schema = schemas.computeIfAbsent(buffer.getInt(), this::schema);
        try {
            var decoder = DecoderFactory.get().binaryDecoder(bytes, buffer.position(), buffer.remaining(), null);
            return new GenericDatumReader<GenericRecord>(schema).read(null, decoder);
        } catch (java.io.IOException e) {
            throw new SerializationException("a record of " + topic, e);
        }
    }

    private Schema schema(int number) {
        try {
            HttpRequest request = HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + number)).build();
            String answer = client.send(request, HttpResponse.BodyHandlers.ofString()).body();
            return new Schema.Parser().parse(new ObjectMapper().readTree(answer).get("schema").asText());
        } catch (java.io.IOException e) {
            throw new SerializationException("schema " + number, e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new SerializationException("schema " + number, e);
        }
    }
}
