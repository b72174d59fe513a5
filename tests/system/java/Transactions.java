import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Transactions that end in every way, overlapping: Transactions BOOTSTRAP TOPIC ROUNDS. Run as a source file. */
public class Transactions {
    static KafkaProducer<String, String> producer(String bootstrap, String id) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("transactional.id", id);
        p.put("linger.ms", "0");
        KafkaProducer<String, String> made = new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
        made.initTransactions();
        return made;
    }

    static void send(KafkaProducer<String, String> to, String topic, String value) throws Exception {
        to.send(new ProducerRecord<>(topic, 0, value, value)).get();
    }

    public static void main(String[] a) throws Exception {
        String topic = a[1];
        KafkaProducer<String, String> one = producer(a[0], "one"), two = producer(a[0], "two"), open = producer(a[0], "open");
        for (int i = 0; i < Integer.parseInt(a[2]); i++) {
            one.beginTransaction();
            send(one, topic, "one-committed-" + i);
            two.beginTransaction();
            send(two, topic, "two-aborted-" + i);
            send(one, topic, "one-committed-again-" + i);
            one.commitTransaction();
            one.beginTransaction();
            send(one, topic, "one-aborted-" + i);
            send(two, topic, "two-aborted-again-" + i);
            two.abortTransaction();
            one.abortTransaction();
        }
        open.beginTransaction();
        send(open, topic, "open");
        open.flush();
        one.beginTransaction();
        send(one, topic, "one-committed-behind-open");
        one.commitTransaction();
        System.out.println("done");
        System.exit(0); // without ending what is open
    }
}
