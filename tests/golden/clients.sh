#!/bin/bash
# clients.sh - drives real clients against a real Apache Kafka behind tests/golden/capture.py.
#
#   clients.sh LIB BOOTSTRAP SASL_BOOTSTRAP CONTROLLER     (PARTS="topics groups ..." for some only)
#
# LIB is a folder with Apache Kafka's jars; the ports are capture.py's. SASL user alice, password alice-secret. A step
# that fails is named and the others go on: what counts is what passes the proxy.
set -u
lib=${1:?LIB} bootstrap=${2:?BOOTSTRAP} sasl=${3:?SASL_BOOTSTRAP} controller=${4:?CONTROLLER}
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT

cat > "$dir/sasl.properties" <<X
security.protocol=SASL_PLAINTEXT
sasl.mechanism=SCRAM-SHA-256
sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username="alice" password="alice-secret";
X
cat > "$dir/plain.properties" <<X
security.protocol=SASL_PLAINTEXT
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="alice-secret";
X

step() { timeout 60 "$@" > "$dir/log" 2>&1 || { echo "FAILED: ${*:4}" >&2; tail -2 "$dir/log" >&2; }; }
java_tool() { step java -cp "$lib/*" "$@"; }
tool() { local class=$1; shift; java_tool "org.apache.kafka.tools.$class" --bootstrap-server "$bootstrap" "$@"; }

topics() {
    tool TopicCommand --create --topic golden --partitions 2 --config retention.ms=100000
    tool TopicCommand --create --topic golden-two --partitions 1
    tool TopicCommand --list
    tool TopicCommand --describe --topic golden
    tool TopicCommand --alter --topic golden --partitions 3
    seq 20 | step kcat -b "$bootstrap" -P -t golden -X enable.idempotence=true
    step kcat -b "$bootstrap" -L
    step kcat -b "$bootstrap" -C -t golden -e -o beginning -q
    step kcat -b "$bootstrap" -Q -t golden:0:1
    step kcat -b "$sasl" -L -X security.protocol=SASL_PLAINTEXT -X sasl.mechanism=PLAIN \
        -X sasl.username=alice -X sasl.password=alice-secret
    tool GetOffsetShell --topic golden
    echo '{"version":1,"partitions":[{"topic":"golden","partition":0,"offset":1}]}' > "$dir/delete.json"
    tool DeleteRecordsCommand --offset-json-file "$dir/delete.json"
}

groups() {
    tool consumer.ConsoleConsumer --topic golden --from-beginning --max-messages 3 --group classic \
        --command-property group.protocol=classic
    tool consumer.ConsoleConsumer --topic golden --from-beginning --max-messages 3 --group modern \
        --command-property group.protocol=consumer
    (timeout 12 java -cp "$lib/*" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$bootstrap" \
        --topic golden --group watched --command-property group.protocol=consumer &
     timeout 12 java -cp "$lib/*" org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$bootstrap" \
        --topic golden --group watched-classic --command-property group.protocol=classic &
     sleep 6
     for g in watched watched-classic; do
         tool consumer.group.ConsumerGroupCommand --describe --group $g --members --verbose
         tool consumer.group.ConsumerGroupCommand --describe --group $g --state
     done; wait) > /dev/null 2>&1
    tool consumer.group.ConsumerGroupCommand --list --state
    tool consumer.group.ConsumerGroupCommand --describe --all-groups
    tool consumer.group.ConsumerGroupCommand --reset-offsets --group classic --topic golden --to-earliest --execute
    tool consumer.group.ConsumerGroupCommand --delete-offsets --group classic --topic golden
    tool consumer.group.ConsumerGroupCommand --delete --group classic
    tool GroupsCommand --list
    step timeout 15 kcat -b "$bootstrap" -G by-kcat -X auto.offset.reset=earliest -c 5 -q golden
}

share_and_streams() {
    java_tool kafka.admin.ConfigCommand --bootstrap-server "$bootstrap" --alter --entity-type groups \
        --entity-name shared --add-config share.auto.offset.reset=earliest
    (timeout 14 java -cp "$lib/*" org.apache.kafka.tools.consumer.ConsoleShareConsumer --bootstrap-server \
        "$bootstrap" --topic golden --group shared & sleep 5
     seq 5 | timeout 10 kcat -b "$bootstrap" -P -t golden
     tool consumer.group.ShareGroupCommand --describe --group shared --members
     wait) > /dev/null 2>&1
    tool consumer.group.ShareGroupCommand --list
    tool consumer.group.ShareGroupCommand --describe --group shared
    tool consumer.group.ShareGroupCommand --reset-offsets --group shared --topic golden --to-earliest --execute
    tool consumer.group.ShareGroupCommand --delete-offsets --group shared --topic golden
    tool consumer.group.ShareGroupCommand --delete --group shared
    tool streams.StreamsGroupCommand --list
}

transactions() {
    java_tool org.apache.kafka.tools.ProducerPerformance --bootstrap-server "$bootstrap" --topic golden \
        --num-records 20 --record-size 10 --throughput -1 --transactional-id golden-txn \
        --transaction-duration-ms 50
    tool TransactionsCommand list
    tool TransactionsCommand describe --transactional-id golden-txn
    tool TransactionsCommand describe-producers --topic golden --partition 0
    tool TransactionsCommand find-hanging --broker-id 1
    tool TransactionsCommand forceTerminateTransaction --transactional-id golden-txn
}

security() {
    tool AclCommand --add --allow-principal User:bob --operation Read --topic guarded
    tool AclCommand --list
    tool AclCommand --remove --force --allow-principal User:bob --operation Read --topic guarded
    java_tool org.apache.kafka.tools.DelegationTokenCommand --bootstrap-server "$sasl" --command-config \
        "$dir/sasl.properties" --create --max-life-time-period -1 --renewer-principal User:alice
    hmac=$(awk 'NF>2 && $2 ~ /==?$/ {print $2}' "$dir/log" | head -1)
    java_tool org.apache.kafka.tools.DelegationTokenCommand --bootstrap-server "$sasl" --command-config \
        "$dir/sasl.properties" --describe --owner-principal User:alice
    java_tool org.apache.kafka.tools.DelegationTokenCommand --bootstrap-server "$sasl" --command-config \
        "$dir/sasl.properties" --renew --renew-time-period -1 --hmac "${hmac:-bm9uZQ==}"
    java_tool org.apache.kafka.tools.DelegationTokenCommand --bootstrap-server "$sasl" --command-config \
        "$dir/sasl.properties" --expire --expiry-time-period -1 --hmac "${hmac:-bm9uZQ==}"
    java_tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$sasl" --command-config "$dir/plain.properties" \
        --list
}

admin() {
    local config="java_tool kafka.admin.ConfigCommand --bootstrap-server $bootstrap"
    $config --alter --entity-type topics --entity-name golden --add-config max.message.bytes=200000
    $config --describe --entity-type topics --entity-name golden --all
    $config --alter --entity-type clients --entity-name c --add-config producer_byte_rate=1000000
    $config --describe --entity-type clients
    $config --alter --entity-type users --entity-name eve --add-config 'SCRAM-SHA-256=[password=pw]'
    $config --describe --entity-type users --entity-name alice
    tool ClientMetricsCommand --alter --name watch --metrics org.apache.kafka. --interval 1000
    tool ClientMetricsCommand --describe --name watch
    tool ClientMetricsCommand --list
    tool LogDirsCommand --describe
    tool BrokerApiVersionsCommand
    tool FeatureCommand describe
    java_tool org.apache.kafka.tools.FeatureCommand --bootstrap-server "$bootstrap" upgrade --feature eligible.leader.replicas.version=1
    java_tool org.apache.kafka.tools.MetadataQuorumCommand --bootstrap-server "$bootstrap" describe --status
    java_tool org.apache.kafka.tools.MetadataQuorumCommand --bootstrap-server "$bootstrap" describe --replication
    java_tool org.apache.kafka.tools.MetadataQuorumCommand --bootstrap-controller "$controller" describe --status
    java_tool org.apache.kafka.tools.MetadataQuorumCommand --bootstrap-server "$bootstrap" remove-controller \
        --controller-id 7 --controller-directory-id AAAAAAAAAAAAAAAAAAAAAQ
    java_tool org.apache.kafka.tools.ClusterTool cluster-id --bootstrap-server "$bootstrap"
    java_tool org.apache.kafka.tools.ClusterTool list-endpoints --bootstrap-server "$bootstrap"
    java_tool org.apache.kafka.tools.ClusterTool unregister --bootstrap-server "$bootstrap" --id 77
    java_tool org.apache.kafka.tools.LeaderElectionCommand --bootstrap-server "$bootstrap" \
        --election-type preferred --topic golden --partition 0
    echo '{"version":1,"partitions":[{"topic":"golden","partition":0,"replicas":[1]}]}' > "$dir/move.json"
    java_tool org.apache.kafka.tools.reassign.ReassignPartitionsCommand --bootstrap-server "$bootstrap" \
        --reassignment-json-file "$dir/move.json" --execute
    java_tool org.apache.kafka.tools.reassign.ReassignPartitionsCommand --bootstrap-server "$bootstrap" --list
    tool TopicCommand --delete --topic golden-two
}

old_clients() {
    /usr/bin/python3 - "$bootstrap" > "$dir/log" 2>&1 <<'P' || tail -3 "$dir/log" >&2
import sys, kafka
from kafka.admin import KafkaAdminClient, NewTopic, ConfigResource, ConfigResourceType
def quietly(f, *a, **k):
    try:
        return f(*a, **k)
    except Exception as e:
        print(f, e)
for version in ((0, 11, 0), (1, 0, 0), (2, 0, 0), (2, 5, 0)):
    name = 'old-%d-%d' % version[:2]
    def produce():
        p = kafka.KafkaProducer(bootstrap_servers=sys.argv[1], api_version=version, acks='all')
        p.send(name, b'x').get(10); p.close()
    def consume():
        c = kafka.KafkaConsumer(name, bootstrap_servers=sys.argv[1], api_version=version, group_id=name,
                                auto_offset_reset='earliest', consumer_timeout_ms=4000)
        list(c); c.commit(); c.close()
    def admin():
        a = KafkaAdminClient(bootstrap_servers=sys.argv[1], api_version=version)
        quietly(a.create_topics, [NewTopic(name + 'a', 1, 1)])
        quietly(a.list_topics); quietly(a.describe_cluster); quietly(a.list_consumer_groups)
        quietly(a.describe_consumer_groups, [name]); quietly(a.list_consumer_group_offsets, name)
        quietly(a.describe_configs, [ConfigResource(ConfigResourceType.TOPIC, name)])
        quietly(a.delete_topics, [name + 'a']); quietly(a.delete_consumer_groups, [name])
    for f in produce, consume, admin:
        quietly(f)
P
}

# What librdkafka says and the Java tools do not: offsets in transactions, whole configs.
librdkafka() {
    /usr/bin/python3 - "$bootstrap" > "$dir/log" 2>&1 <<'P' || tail -3 "$dir/log" >&2
import sys
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource
c = Consumer({'bootstrap.servers': sys.argv[1], 'group.id': 'in-txn', 'auto.offset.reset': 'earliest'})
c.subscribe(['golden'])
c.poll(15)
p = Producer({'bootstrap.servers': sys.argv[1], 'transactional.id': 'in-txn'})
p.init_transactions(15)
p.begin_transaction()
p.produce('golden', b'v')
p.send_offsets_to_transaction([TopicPartition('golden', 0, 1)], c.consumer_group_metadata(), 15)
p.commit_transaction(15)
c.close()
a = AdminClient({'bootstrap.servers': sys.argv[1]})
for f in a.alter_configs([ConfigResource('topic', 'golden', {'retention.ms': '200000'})]).values():
    f.result()
P
}

for part in ${PARTS:-topics groups share_and_streams transactions security admin librdkafka old_clients}; do
    $part
done
