// The franz-go part of b_go.py: produces, reads with assigned partitions, in a group with commits, from a sought
// offset, with each of its balancers.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	partitions = 3
	records    = 6000
)

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}

func createTopic(ctx context.Context, client *kgo.Client, topic string) {
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = 10000
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, partitions, 1
	request.Topics = append(request.Topics, one)
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		fail("CreateTopics", err)
	}
	if err := kerr.ErrorForCode(response.Topics[0].ErrorCode); err != nil {
		fail("CreateTopics", err)
	}
}

func produce(ctx context.Context, bootstrap, topic string) {
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.DefaultProduceTopic(topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		fail("producer", err)
	}
	defer client.Close()
	createTopic(ctx, client, topic)
	for i := 0; i < records; i++ {
		record := &kgo.Record{Partition: int32(i % partitions), Key: []byte("k" + strconv.Itoa(i)), Value: []byte(strconv.Itoa(i)),
			Headers: []kgo.RecordHeader{{Key: "h", Value: []byte(strconv.Itoa(i))}}}
		client.Produce(ctx, record, func(r *kgo.Record, err error) {
			if err != nil {
				fail("Produce", err)
			}
		})
	}
	if err := client.Flush(ctx); err != nil {
		fail("Flush", err)
	}
}

func check(r *kgo.Record) {
	i := strconv.Itoa(int(r.Offset)*partitions + int(r.Partition))
	if string(r.Value) != i || string(r.Key) != "k"+i || len(r.Headers) != 1 || string(r.Headers[0].Value) != i {
		fail("Fetch", fmt.Errorf("record %s came back as %q %q %v", i, r.Key, r.Value, r.Headers))
	}
}

// Reads n records, each as it was written.
func read(ctx context.Context, client *kgo.Client, n int) {
	for seen := 0; seen < n; {
		fetches := client.PollFetches(ctx)
		if errs := fetches.Errors(); len(errs) > 0 {
			fail("Fetch", errs[0].Err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			check(r)
			seen++
		})
	}
}

func consume(ctx context.Context, bootstrap, topic string) {
	offsets := map[int32]kgo.Offset{}
	for p := int32(0); p < partitions; p++ {
		offsets[p] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets}))
	if err != nil {
		fail("consumer", err)
	}
	defer client.Close()
	read(ctx, client, records)
}

// One member reads everything and commits, and goes back to 10 records before an end.
func consumeGroup(ctx context.Context, bootstrap, topic, group string, balancer kgo.GroupBalancer) {
	options := []kgo.Opt{kgo.SeedBrokers(bootstrap), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic),
		kgo.DisableAutoCommit(), kgo.Balancers(balancer), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	client, err := kgo.NewClient(options...)
	if err != nil {
		fail("group", err)
	}
	defer client.Close()
	read(ctx, client, records)
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		fail("OffsetCommit", err)
	}
	end := int64(records / partitions)
	client.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {0: {Epoch: -1, Offset: end - 10}}})
	read(ctx, client, 10)
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		fail("OffsetCommit", err)
	}
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	produce(ctx, os.Args[1], os.Args[2])
	consume(ctx, os.Args[1], os.Args[2])
	consumeGroup(ctx, os.Args[1], os.Args[2], os.Args[3], kgo.CooperativeStickyBalancer())
	for name, balancer := range map[string]kgo.GroupBalancer{"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(),
		"sticky": kgo.StickyBalancer()} {
		consumeGroup(ctx, os.Args[1], os.Args[2], os.Args[3]+"-"+name, balancer)
	}
	fmt.Printf("%d records\n", records)
}
