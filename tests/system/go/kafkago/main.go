// The segmentio/kafka-go part of b_go.py: topics by its client, a writer with acks=all, a reader in a group with
// commits, a reader that seeks, the group's offsets.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	partitions = 3
	records    = 6000
)

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

func check(r kafka.Message) {
	i := strconv.Itoa(int(r.Offset)*partitions + r.Partition)
	if string(r.Value) != i || string(r.Key) != "k"+i || len(r.Headers) != 1 || string(r.Headers[0].Value) != i {
		fail("Fetch", fmt.Errorf("record %s came back as %q %q", i, r.Key, r.Value))
	}
}

func produce(ctx context.Context, bootstrap, topic string) {
	writer := &kafka.Writer{Addr: kafka.TCP(bootstrap), Topic: topic, RequiredAcks: kafka.RequireAll, BatchSize: 500,
		BatchTimeout: 5 * time.Millisecond, Compression: kafka.Snappy,
		Balancer: kafka.BalancerFunc(func(m kafka.Message, all ...int) int {
			i, _ := strconv.Atoi(string(m.Value))
			return i % partitions
		})}
	for from := 0; from < records; from += 1500 {
		messages := make([]kafka.Message, 0, 1500)
		for i := from; i < from+1500; i++ {
			text := []byte(strconv.Itoa(i))
			messages = append(messages, kafka.Message{Key: []byte("k" + strconv.Itoa(i)), Value: text,
				Headers: []kafka.Header{{Key: "h", Value: text}}})
		}
		if err := writer.WriteMessages(ctx, messages...); err != nil {
			fail("Produce", err)
		}
	}
	if err := writer.Close(); err != nil {
		fail("Close", err)
	}
}

func consumeGroup(ctx context.Context, bootstrap, topic, group string) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, GroupID: group, Topic: topic, MaxWait: time.Second,
		StartOffset: kafka.FirstOffset})
	last := map[int]kafka.Message{}
	for seen := 0; seen < records; seen++ {
		r, err := reader.FetchMessage(ctx)
		if err != nil {
			fail("FetchMessage", err)
		}
		check(r)
		last[r.Partition] = r
	}
	for _, r := range last {
		if err := reader.CommitMessages(ctx, r); err != nil {
			fail("OffsetCommit", err)
		}
	}
	if err := reader.Close(); err != nil {
		fail("LeaveGroup", err)
	}
}

func seek(ctx context.Context, bootstrap, topic string) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{bootstrap}, Topic: topic, Partition: 0, MaxWait: time.Second})
	defer reader.Close()
	at := int64(records/partitions - 10)
	if err := reader.SetOffset(at); err != nil {
		fail("SetOffset", err)
	}
	for i := int64(0); i < 10; i++ {
		r, err := reader.ReadMessage(ctx)
		if err != nil || r.Offset != at+i {
			fail("ReadMessage", fmt.Errorf("offset %d: %v", r.Offset, err))
		}
		check(r)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	bootstrap, topic, group := os.Args[1], os.Args[2], os.Args[3]
	client := &kafka.Client{Addr: kafka.TCP(bootstrap), Timeout: 10 * time.Second}
	created, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic,
		NumPartitions: partitions, ReplicationFactor: 1}}})
	if err != nil || created.Errors[topic] != nil {
		fail("CreateTopics", fmt.Errorf("%v %v", created, err))
	}
	produce(ctx, bootstrap, topic)
	consumeGroup(ctx, bootstrap, topic, group)
	seek(ctx, bootstrap, topic)
	offsets, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1, 2}}})
	if err != nil || offsets.Topics[topic][2].CommittedOffset != records/partitions {
		fail("OffsetFetch", fmt.Errorf("%v %v", offsets, err))
	}
	fmt.Printf("%d records\n", records)
}
