import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BooleanSupplier;
import java.util.regex.Pattern;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.FencedInstanceIdException;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.apache.kafka.common.errors.TransactionalIdAuthorizationException;
import org.apache.kafka.common.errors.UnreleasedInstanceIdException;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What kafka-clients' producer and consumers can do, with every assignor and both protocols of groups: Clients BOOTSTRAP.
 * Prints "ok WHAT" for each part; the first thing that is not as it must be ends it with an AssertionError.
 */
public class Clients {
    static final int PARTITIONS = 3, RECORDS = 300;
    static final long LIMIT_MS = 60000;
    static final String TOPIC = "clients";
    static final String ASSIGNORS = "org.apache.kafka.clients.consumer.";
    static String bootstrap;

    static void check(boolean isTrue, String what) {
        if (!isTrue)
            throw new AssertionError(what);
    }

    static void equal(Object got, Object expected, String what) {
        check(got.equals(expected), what + ": expected " + expected + ", got " + got);
    }

    static void until(BooleanSupplier condition, String what) {
        long end = System.currentTimeMillis() + LIMIT_MS;
        while (!condition.getAsBoolean())
            check(System.currentTimeMillis() < end, "not in time: " + what);
    }

    static Properties settings(String... pairs) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        for (String pair : pairs)
            p.put(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
        return p;
    }

    static KafkaConsumer<String, String> consumer(String group, String... pairs) {
        Properties p = settings("auto.offset.reset=earliest", "enable.auto.commit=false", "metadata.max.age.ms=500");
        p.putAll(settings(pairs));
        p.put("group.id", group);
        return new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
    }

    static List<ConsumerRecord<String, String>> poll(KafkaConsumer<String, String> c) {
        List<ConsumerRecord<String, String>> out = new ArrayList<>();
        c.poll(Duration.ofMillis(100)).forEach(out::add);
        return out;
    }

    /** Polls until so many different values were seen. */
    static void read(KafkaConsumer<String, String> c, int n, String what) {
        Set<String> seen = new HashSet<>();
        until(() -> {
            poll(c).forEach(r -> seen.add(r.topic() + r.value()));
            return seen.size() >= n;
        }, what + ": " + n + " records");
        equal(seen.size(), n, what + ": different records");
    }

    /** Idempotent, as it is by default; the timestamp of record i is i. */
    static void produce() throws Exception {
        try (KafkaProducer<String, String> p = new KafkaProducer<>(settings("linger.ms=5", "compression.type=lz4"),
                new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < RECORDS; i++)
                p.send(new ProducerRecord<>(TOPIC, i % PARTITIONS, (long) i, "k" + i, "v" + i));
            p.flush();
            equal(p.partitionsFor(TOPIC).size(), PARTITIONS, "partitions");
        }
    }

    static void positions(String name, String... pairs) {
        TopicPartition zero = new TopicPartition(TOPIC, 0), one = new TopicPartition(TOPIC, 1);
        try (KafkaConsumer<String, String> c = consumer("positions-" + name, pairs)) {
            c.subscribe(List.of(TOPIC));
            read(c, RECORDS, name);
            c.commitSync();
            c.committed(Set.of(zero, one)).values().forEach(o -> equal(o.offset(), 100L, name + ": committed"));
            AtomicReference<Object> answer = new AtomicReference<>();
            c.commitAsync(Map.of(zero, new OffsetAndMetadata(7, "a note")), (offsets, e) -> answer.set(e == null ? offsets : e));
            until(() -> {
                poll(c);
                return answer.get() != null;
            }, name + ": commitAsync");
            equal(c.committed(Set.of(zero)).get(zero), new OffsetAndMetadata(7, "a note"), name + ": committed async");
            c.seek(zero, 90);
            read(c, 10, name + ": after seek");
            equal(c.position(zero), 100L, name + ": position");
            c.pause(List.of(one));
            c.seekToBeginning(List.of(zero, one));
            Set<Integer> from = new HashSet<>();
            until(() -> {
                poll(c).forEach(r -> from.add(r.partition()));
                return c.position(zero) == 100;
            }, name + ": the other partition");
            equal(from, Set.of(0), name + ": partitions read while one is paused");
            c.resume(List.of(one));
            read(c, 100, name + ": after resume");
            c.seekToEnd(List.of(zero));
            equal(c.position(zero), 100L, name + ": position at the end");
            Map<TopicPartition, OffsetAndTimestamp> times = c.offsetsForTimes(Map.of(zero, 31L, one, 100000L));
            equal(times.get(zero).offset(), 11L, name + ": offsetsForTimes"); // record 33
            check(times.get(one) == null, name + ": offsetsForTimes behind the last");
            equal(c.endOffsets(List.of(zero)).get(zero), 100L, name + ": endOffsets");
            equal(c.beginningOffsets(List.of(zero)).get(zero), 0L, name + ": beginningOffsets");
            check(c.listTopics().containsKey(TOPIC), name + ": listTopics");
        }
        try (KafkaConsumer<String, String> c = consumer("positions-" + name, pairs)) {
            c.subscribe(List.of(TOPIC));
            read(c, 93, name + ": the next member goes on where it was committed");
        }
        System.out.println("ok positions, " + name);
    }

    /** A static member comes back under its name; another of the same name is told apart as the protocol says. */
    static void instances(String protocol) {
        String group = "static-" + protocol;
        String[] pairs = {"group.protocol=" + protocol, "group.instance.id=inst"};
        KafkaConsumer<String, String> first = consumer(group, pairs);
        first.subscribe(List.of(TOPIC));
        read(first, RECORDS, group);
        try (KafkaConsumer<String, String> second = consumer(group, pairs)) {
            second.subscribe(List.of(TOPIC));
            KafkaConsumer<String, String> loser = protocol.equals("classic") ? first : second;
            Class<?> expected = protocol.equals("classic") ? FencedInstanceIdException.class : UnreleasedInstanceIdException.class;
            AtomicReference<Exception> thrown = new AtomicReference<>();
            until(() -> {
                try {
                    poll(second);
                    poll(first);
                    if (loser == first && !first.assignment().isEmpty())
                        first.commitSync();
                } catch (RuntimeException e) {
                    thrown.set(e);
                }
                return thrown.get() != null;
            }, group + ": one of two members of the same name ends");
            check(expected.isInstance(thrown.get()), group + ": " + thrown.get());
        } finally {
            first.close();
        }
        System.out.println("ok instances, " + protocol);
    }

    interface Subscription {
        void of(KafkaConsumer<String, String> c);
    }

    /** A topic that comes later and matches is read too. */
    static void expressions(Admin admin, String name, String protocol, Subscription subscription) throws Exception {
        String prefix = "match-" + name + "-";
        admin.createTopics(List.of(new NewTopic(prefix + "1", 1, (short) 1))).all().get();
        try (KafkaConsumer<String, String> c = consumer("expressions-" + name, "group.protocol=" + protocol);
             KafkaProducer<String, String> p = new KafkaProducer<>(settings(), new StringSerializer(), new StringSerializer())) {
            subscription.of(c);
            p.send(new ProducerRecord<>(prefix + "1", "x")).get();
            read(c, 1, name + ": the topic that matches");
            c.commitSync(); // a rebalance of the classic protocol goes back to what is committed
            admin.createTopics(List.of(new NewTopic(prefix + "2", 1, (short) 1))).all().get();
            p.send(new ProducerRecord<>(prefix + "2", "y")).get();
            read(c, 1, name + ": the topic that came later");
            equal(c.assignment().size(), 2, name + ": partitions");
        }
        System.out.println("ok expressions, " + name);
    }

    static void expressionRefused() {
        try (KafkaConsumer<String, String> c = consumer("expression-refused", "group.protocol=consumer")) {
            c.subscribe(new SubscriptionPattern("match-(?=x)"));
            AtomicReference<Exception> thrown = new AtomicReference<>();
            until(() -> {
                try {
                    poll(c);
                } catch (RuntimeException e) {
                    thrown.set(e);
                }
                return thrown.get() != null;
            }, "an expression with look-ahead is refused");
            check(thrown.get() instanceof InvalidRegularExpression, "look-ahead: " + thrown.get());
        }
        System.out.println("ok an expression with look-ahead is refused");
    }

    static void transactionsRefused() {
        try (KafkaProducer<String, String> p = new KafkaProducer<>(settings("transactional.id=t"), new StringSerializer(),
                new StringSerializer())) {
            p.initTransactions();
            check(false, "initTransactions is not refused");
        } catch (TransactionalIdAuthorizationException e) {
            System.out.println("ok transactions are refused: " + e.getMessage());
        }
    }

    static void shareGroupsRefused() {
        try (KafkaShareConsumer<String, String> c = new KafkaShareConsumer<>(settings("group.id=share"), new StringDeserializer(),
                new StringDeserializer())) {
            c.subscribe(List.of(TOPIC));
            AtomicReference<Exception> thrown = new AtomicReference<>();
            until(() -> {
                try {
                    c.poll(Duration.ofMillis(100));
                } catch (RuntimeException e) {
                    thrown.set(e);
                }
                return thrown.get() != null;
            }, "share groups are refused");
            check(thrown.get() instanceof UnsupportedVersionException, "share groups: " + thrown.get());
            System.out.println("ok share groups are refused: " + thrown.get().getMessage());
        }
    }

    public static void main(String[] a) throws Exception {
        bootstrap = a[0];
        try (Admin admin = Admin.create(settings())) {
            admin.createTopics(List.of(new NewTopic(TOPIC, PARTITIONS, (short) 1).configs(Map.of("retention.ms", "-1")))).all().get();
            produce();
            for (String assignor : Arrays.asList("Range", "RoundRobin", "Sticky", "CooperativeSticky"))
                positions(assignor, "partition.assignment.strategy=" + ASSIGNORS + assignor + "Assignor");
            for (String assignor : Arrays.asList("uniform", "range"))
                positions("consumer-" + assignor, "group.protocol=consumer", "group.remote.assignor=" + assignor);
            instances("classic");
            instances("consumer");
            expressions(admin, "classic", "classic", c -> c.subscribe(Pattern.compile("match-classic-.*")));
            expressions(admin, "consumer", "consumer", c -> c.subscribe(new SubscriptionPattern("match-consumer-[0-9]+")));
            expressionRefused();
            transactionsRefused();
            shareGroupsRefused();
        }
    }
}
