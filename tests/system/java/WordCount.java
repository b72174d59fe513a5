import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Exit;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.state.Stores;

/**
 * Counts words with Kafka Streams: WordCount BOOTSTRAP APPLICATION INPUT OUTPUT [name=value ...], the last being settings.
 * Words go through a repartition topic, counts into a store in memory with a changelog topic. Prints "state NAME" at each
 * change; an error ends it: "error TEXT" for each cause, status 1.
 */
public class WordCount {
    static Properties settings(String[] a) {
        Properties p = new Properties();
        p.put("bootstrap.servers", a[0]);
        p.put("application.id", a[1]);
        p.put("default.key.serde", Serdes.StringSerde.class.getName());
        p.put("default.value.serde", Serdes.StringSerde.class.getName());
        p.put("dsl.store.suppliers.class", "org.apache.kafka.streams.state.BuiltInDslStoreSuppliers$InMemoryDslStoreSuppliers");
        p.put("commit.interval.ms", "100");
        p.put("repartition.purge.interval.ms", "100");
        p.put("statestore.cache.max.bytes", "0");
        p.put("num.stream.threads", "2");
        p.put("auto.offset.reset", "earliest");
        p.put("session.timeout.ms", "6000");
        p.put("heartbeat.interval.ms", "500");
        for (int i = 4; i < a.length; i++)
            p.put(a[i].substring(0, a[i].indexOf('=')), a[i].substring(a[i].indexOf('=') + 1));
        return p;
    }

    public static void main(String[] a) throws Exception {
        StreamsBuilder builder = new StreamsBuilder();
        builder.<String, String>stream(a[2])
            .flatMapValues(line -> Arrays.asList(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with("words", Serdes.String(), Serdes.String()))
            .count(Materialized.<String, Long>as(Stores.inMemoryKeyValueStore("counts"))
                .withKeySerde(Serdes.String()).withValueSerde(Serdes.Long()))
            .toStream().mapValues(n -> Long.toString(n)).to(a[3]);
        KafkaStreams streams = new KafkaStreams(builder.build(), settings(a));
        CountDownLatch end = new CountDownLatch(1);
        AtomicInteger status = new AtomicInteger();
        streams.setStateListener((now, before) -> {
            System.out.println("state " + now);
            if (now == KafkaStreams.State.ERROR || now == KafkaStreams.State.NOT_RUNNING)
                end.countDown();
        });
        streams.setUncaughtExceptionHandler(e -> {
            for (Throwable cause = e; cause != null; cause = cause.getCause())
                System.out.println("error " + cause);
            status.set(1);
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Exit.addShutdownHook("word-count", streams::close);
        streams.start();
        end.await();
        Exit.exit(status.get());
    }
}
