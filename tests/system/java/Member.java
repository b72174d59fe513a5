import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * One member of a group, as next_member.py is one: Member BOOTSTRAP GROUP TOPIC PROTOCOL [INSTANCE], where PROTOCOL is
 * "consumer" or the class of an assignor. Prints "seen TIME PARTITION OFFSET", "committed TIME PARTITION OFFSET", "assigned N",
 * "revoked N", "lost N", "refused TEXT". SIGTERM: it leaves the group and ends.
 */
public class Member implements ConsumerRebalanceListener {
    final KafkaConsumer<String, String> consumer;
    final Map<TopicPartition, OffsetAndMetadata> seen = new HashMap<>();

    static synchronized void say(Object... words) {
        StringBuilder line = new StringBuilder();
        for (Object word : words)
            line.append(line.length() == 0 ? "" : " ").append(word);
        System.out.println(line);
        System.out.flush();
    }

    Member(Properties settings) {
        consumer = new KafkaConsumer<>(settings);
    }

    void commit() {
        if (seen.isEmpty())
            return;
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>(seen);
        seen.clear();
        try {
            consumer.commitSync(offsets, Duration.ofSeconds(30));
            for (Map.Entry<TopicPartition, OffsetAndMetadata> e : offsets.entrySet())
                say("committed", System.nanoTime(), e.getKey().partition(), e.getValue().offset());
        } catch (WakeupException e) {
            consumer.wakeup(); // for the loop
        } catch (CommitFailedException e) {
            say("refused", e.getClass().getSimpleName()); // no member any more: others have its partitions
        } catch (KafkaException e) {
            seen.putAll(offsets); // it still has them (RebalanceInProgressException): with the next commit
            say("refused", e.toString().replace('\n', ' '));
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
        say("assigned", partitions.size());
    }

    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        commit();
        seen.keySet().removeAll(partitions);
        say("revoked", partitions.size());
    }

    @Override
    public void onPartitionsLost(Collection<TopicPartition> partitions) {
        seen.clear();
        say("lost", partitions.size());
    }

    void run(String topic) {
        consumer.subscribe(List.of(topic), this);
        try {
            while (true) {
                for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(100))) {
                    say("seen", System.nanoTime(), r.partition(), r.offset());
                    seen.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
                }
                commit();
            }
        } catch (WakeupException e) {
            consumer.close(); // in onPartitionsRevoked it commits what it saw
            say("closed");
        }
    }

    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        p.put("group.id", args[1]);
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        p.put("max.poll.records", "20");
        p.put("key.deserializer", StringDeserializer.class.getName());
        p.put("value.deserializer", StringDeserializer.class.getName());
        if (args[3].equals("consumer")) {
            p.put("group.protocol", "consumer");
        } else {
            p.put("partition.assignment.strategy", args[3]);
            p.put("session.timeout.ms", "6000");
            p.put("heartbeat.interval.ms", "500");
        }
        if (args.length > 4)
            p.put("group.instance.id", args[4]);
        Member member = new Member(p);
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            member.consumer.wakeup();
            try {
                main.join(15000);
            } catch (InterruptedException e) {
                say("refused", "interrupted");
            }
        }));
        member.run(args[2]);
    }
}
