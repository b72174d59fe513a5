// The sarama part of b_go.py: topics by its admin client, an idempotent producer, a consumer group with commits and a
// seek, the group described.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/IBM/sarama"
)

const (
	partitions = 3
	records    = 6000
)

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

func settings() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.Producer.Idempotent = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Producer.Return.Successes = true
	c.Producer.Compression = sarama.CompressionLZ4
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Net.MaxOpenRequests = 1
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategySticky()}
	return c
}

func produce(bootstrap, topic string) {
	producer, err := sarama.NewSyncProducer([]string{bootstrap}, settings())
	if err != nil {
		fail("producer", err)
	}
	defer producer.Close()
	for from := 0; from < records; from += 500 {
		messages := make([]*sarama.ProducerMessage, 0, 500)
		for i := from; i < from+500; i++ {
			messages = append(messages, &sarama.ProducerMessage{Topic: topic, Partition: int32(i % partitions),
				Key: sarama.StringEncoder("k" + strconv.Itoa(i)), Value: sarama.StringEncoder(strconv.Itoa(i)),
				Headers: []sarama.RecordHeader{{Key: []byte("h"), Value: []byte(strconv.Itoa(i))}}})
		}
		if err := producer.SendMessages(messages); err != nil {
			fail("Produce", err)
		}
	}
}

// A member that counts the records it sees, each as it was written, and marks them.
type member struct {
	seekTo int64 // where partition 0 begins anew; below 0: where it stands
	seen   chan bool
}

func (m member) Setup(session sarama.ConsumerGroupSession) error {
	for topic, claimed := range session.Claims() {
		for _, p := range claimed {
			if m.seekTo >= 0 && p == 0 {
				session.ResetOffset(topic, p, m.seekTo, "")
			}
		}
	}
	return nil
}

func (m member) Cleanup(session sarama.ConsumerGroupSession) error { return nil }

func (m member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for r := range claim.Messages() {
		i := strconv.Itoa(int(r.Offset)*partitions + int(r.Partition))
		if string(r.Value) != i || string(r.Key) != "k"+i || len(r.Headers) != 1 || string(r.Headers[0].Value) != i {
			fail("Fetch", fmt.Errorf("record %s came back as %q %q", i, r.Key, r.Value))
		}
		session.MarkMessage(r, "")
		if r.Offset == records/partitions-1 {
			session.Commit()
		}
		select {
		case m.seen <- true:
		case <-session.Context().Done():
			return nil
		}
	}
	return nil
}

func consume(ctx context.Context, bootstrap, topic, group string, seekTo int64, n int) {
	consumer, err := sarama.NewConsumerGroup([]string{bootstrap}, group, settings())
	if err != nil {
		fail("group", err)
	}
	session, end := context.WithCancel(ctx)
	m, ended := member{seekTo, make(chan bool)}, make(chan error, 1)
	go func() { ended <- consumer.Consume(session, []string{topic}, m) }()
	for seen := 0; seen < n; seen++ {
		select {
		case <-m.seen:
		case err := <-ended:
			fail("Consume", fmt.Errorf("ended after %d of %d records: %v", seen, n, err))
		}
	}
	end()
	<-ended
	if err := consumer.Close(); err != nil {
		fail("LeaveGroup", err)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	bootstrap, topic, group := os.Args[1], os.Args[2], os.Args[3]
	admin, err := sarama.NewClusterAdmin([]string{bootstrap}, settings())
	if err != nil {
		fail("admin", err)
	}
	value := "7200000"
	if err := admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1,
		ConfigEntries: map[string]*string{"retention.ms": &value}}, false); err != nil {
		fail("CreateTopics", err)
	}
	produce(bootstrap, topic)
	consume(ctx, bootstrap, topic, group, -1, records)
	consume(ctx, bootstrap, topic, group, records/partitions-10, 10)
	groups, err := admin.DescribeConsumerGroups([]string{group})
	if err != nil || groups[0].State != "Empty" {
		fail("DescribeGroups", fmt.Errorf("%v %v", groups, err))
	}
	topics, err := admin.ListTopics()
	if err != nil || topics[topic].NumPartitions != partitions || *topics[topic].ConfigEntries["retention.ms"] != value {
		fail("ListTopics", fmt.Errorf("%v %v", topics, err))
	}
	fmt.Printf("%d records\n", records)
}
