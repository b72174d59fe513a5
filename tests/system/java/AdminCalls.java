import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionReplica;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.quota.ClientQuotaFilter;
import org.apache.kafka.common.quota.ClientQuotaFilterComponent;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Every call of kafka-clients' Admin: AdminCalls BOOTSTRAP. One line each: "CALL: what it brought" or "CALL: EXCEPTION: its
 * message". None may take longer than its timeout.
 */
public class AdminCalls {
    static final String TOPIC = "admin-calls", GROUP = "admin-group";
    static final TopicPartition ZERO = new TopicPartition(TOPIC, 0);

    static void say(String call, Callable<Object> body) {
        try {
            Object out = body.call();
            System.out.println(call + ": " + (out == null ? "done" : out));
        } catch (Exception e) {
            Throwable cause = e instanceof ExecutionException ? e.getCause() : e;
            System.out.println(call + ": " + cause.getClass().getSimpleName() + ": " + cause.getMessage());
        }
    }

    static Callable<Object> of(KafkaFuture<?> future) {
        return () -> future.get();
    }

    static void topics(Admin a) {
        say("createTopics", of(a.createTopics(List.of(new NewTopic(TOPIC, 2, (short) 1))).all()));
        say("createTopics again", of(a.createTopics(List.of(new NewTopic(TOPIC, 2, (short) 1))).all()));
        say("listTopics", () -> a.listTopics().names().get().contains(TOPIC));
        say("describeTopics", () -> a.describeTopics(List.of(TOPIC)).allTopicNames().get().get(TOPIC).partitions().size());
        say("createPartitions", of(a.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(3))).all()));
        try (KafkaProducer<String, String> p = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            long now = System.currentTimeMillis();
            for (int i = 0; i < 10; i++)
                p.send(new ProducerRecord<>(TOPIC, 0, now + i, "k", "v"));
        }
        say("listOffsets", () -> a.listOffsets(Map.of(ZERO, OffsetSpec.latest())).partitionResult(ZERO).get().offset());
        say("listOffsets maxTimestamp", () -> a.listOffsets(Map.of(ZERO, OffsetSpec.maxTimestamp())).partitionResult(ZERO).get().offset());
        say("deleteRecords", () -> a.deleteRecords(Map.of(ZERO, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(ZERO).get().lowWatermark());
        say("describeProducers", () -> a.describeProducers(List.of(ZERO)).partitionResult(ZERO).get().activeProducers().size());
        say("electLeaders", of(a.electLeaders(ElectionType.PREFERRED, Set.of(ZERO)).all()));
        say("alterPartitionReassignments", of(a.alterPartitionReassignments(
            Map.of(ZERO, Optional.of(new NewPartitionReassignment(List.of(1))))).all()));
        say("alterPartitionReassignments away", of(a.alterPartitionReassignments(
            Map.of(ZERO, Optional.of(new NewPartitionReassignment(List.of(9))))).all()));
        say("listPartitionReassignments", () -> a.listPartitionReassignments().reassignments().get());
    }

    static void settings(Admin a) {
        ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        say("incrementalAlterConfigs", of(a.incrementalAlterConfigs(Map.of(topic, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "3600000"), AlterConfigOp.OpType.SET)))).all()));
        say("incrementalAlterConfigs wrong", of(a.incrementalAlterConfigs(Map.of(topic, List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "soon"), AlterConfigOp.OpType.SET)))).all()));
        say("describeConfigs", () -> a.describeConfigs(List.of(topic)).all().get().get(topic).get("retention.ms").value());
        say("describeConfigs broker", () -> a.describeConfigs(List.of(broker)).all().get().get(broker).get("node.id").value());
        say("listConfigResources", () -> a.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions())
            .all().get().contains(topic));
        say("listClientMetricsResources", of(a.listClientMetricsResources().all()));
        say("describeLogDirs", () -> a.describeLogDirs(List.of(1)).allDescriptions().get().get(1).values().iterator().next()
            .replicaInfos().containsKey(ZERO));
        TopicPartitionReplica replica = new TopicPartitionReplica(TOPIC, 0, 1);
        say("describeReplicaLogDirs", () -> a.describeReplicaLogDirs(List.of(replica)).values().get(replica).get()
            .getCurrentReplicaLogDir() != null);
        say("alterReplicaLogDirs", of(a.alterReplicaLogDirs(Map.of(replica, "/no/such/directory")).all()));
    }

    static void groups(Admin a) {
        Map<TopicPartition, OffsetAndMetadata> offset = Map.of(ZERO, new OffsetAndMetadata(5, "note"));
        say("alterConsumerGroupOffsets", of(a.alterConsumerGroupOffsets(GROUP, offset).all()));
        say("listConsumerGroupOffsets", () -> a.listConsumerGroupOffsets(GROUP).partitionsToOffsetAndMetadata().get().get(ZERO).offset());
        say("listGroups", () -> a.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals(GROUP)));
        say("listConsumerGroups", () -> a.listConsumerGroups().all().get().stream().anyMatch(g -> g.groupId().equals(GROUP)));
        say("describeConsumerGroups", () -> a.describeConsumerGroups(List.of(GROUP)).all().get().get(GROUP).groupState());
        say("describeConsumerGroups none", of(a.describeConsumerGroups(List.of("none")).all()));
        say("describeClassicGroups", () -> a.describeClassicGroups(List.of(GROUP)).all().get().get(GROUP).state());
        say("removeMembersFromConsumerGroup", of(a.removeMembersFromConsumerGroup(GROUP, new RemoveMembersFromConsumerGroupOptions(
            List.of(new MemberToRemove("nobody")))).all()));
        say("deleteConsumerGroupOffsets", of(a.deleteConsumerGroupOffsets(GROUP, Set.of(ZERO)).all()));
        say("alterConsumerGroupOffsets once more", of(a.alterConsumerGroupOffsets(GROUP, offset).all()));
        say("deleteConsumerGroups", of(a.deleteConsumerGroups(List.of(GROUP)).all()));
        say("deleteConsumerGroups none", of(a.deleteConsumerGroups(List.of(GROUP)).all()));
    }

    static void cluster(Admin a) {
        say("describeCluster", () -> a.describeCluster().nodes().get().size());
        say("describeFeatures", () -> a.describeFeatures().featureMetadata().get().finalizedFeatures().get("metadata.version") != null);
        say("updateFeatures", of(a.updateFeatures(Map.of("group.version", new FeatureUpdate((short) 1, FeatureUpdate.UpgradeType.UPGRADE)),
            new UpdateFeaturesOptions().validateOnly(true)).all()));
        say("describeMetadataQuorum", () -> a.describeMetadataQuorum().quorumInfo().get().voters().size());
        say("describeClientQuotas", () -> a.describeClientQuotas(ClientQuotaFilter.containsOnly(List.of(
            ClientQuotaFilterComponent.ofEntity("client-id", "nobody")))).entities().get());
    }

    /** What is not served: each must say so, none may wait. */
    static void refused(Admin a) {
        say("listTransactions", of(a.listTransactions().all()));
        say("describeTransactions", of(a.describeTransactions(List.of("t")).all()));
        say("fenceProducers", of(a.fenceProducers(List.of("t")).all()));
        say("abortTransaction", of(a.abortTransaction(new AbortTransactionSpec(ZERO, 1, (short) 0, 0)).all()));
        say("forceTerminateTransaction", of(a.forceTerminateTransaction("t").result()));
        say("describeAcls", of(a.describeAcls(AclBindingFilter.ANY).values()));
        say("createAcls", of(a.createAcls(List.<AclBinding>of()).all()));
        say("deleteAcls", of(a.deleteAcls(List.of(AclBindingFilter.ANY)).all()));
        say("alterClientQuotas", of(a.alterClientQuotas(List.of(new ClientQuotaAlteration(new ClientQuotaEntity(
            Map.of("client-id", "c")), List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 1.0))))).all()));
        say("describeUserScramCredentials", of(a.describeUserScramCredentials().all()));
        say("alterUserScramCredentials", of(a.alterUserScramCredentials(List.of(
            new UserScramCredentialDeletion("u", ScramMechanism.SCRAM_SHA_256))).all()));
        say("createDelegationToken", of(a.createDelegationToken().delegationToken()));
        say("describeDelegationToken", of(a.describeDelegationToken().delegationTokens()));
        say("renewDelegationToken", of(a.renewDelegationToken(new byte[] {1}).expiryTimestamp()));
        say("expireDelegationToken", of(a.expireDelegationToken(new byte[] {1}).expiryTimestamp()));
        say("unregisterBroker", of(a.unregisterBroker(9).all()));
        say("addRaftVoter", of(a.addRaftVoter(9, Uuid.ONE_UUID, Set.of(new RaftVoterEndpoint("CONTROLLER", "localhost", 1))).all()));
        say("removeRaftVoter", of(a.removeRaftVoter(9, Uuid.ONE_UUID).all()));
        say("describeShareGroups", of(a.describeShareGroups(List.of("s")).all()));
        say("listShareGroupOffsets", of(a.listShareGroupOffsets(Map.of("s", new ListShareGroupOffsetsSpec())).all()));
        say("alterShareGroupOffsets", of(a.alterShareGroupOffsets("s", Map.of(ZERO, 1L)).all()));
        say("deleteShareGroupOffsets", of(a.deleteShareGroupOffsets("s", Set.of(TOPIC)).all()));
        say("deleteShareGroups", of(a.deleteShareGroups(List.of("s")).all()));
        say("describeStreamsGroups", of(a.describeStreamsGroups(List.of("s")).all()));
        say("listStreamsGroupOffsets", of(a.listStreamsGroupOffsets(Map.of("s", new ListStreamsGroupOffsetsSpec())).all()));
        say("alterStreamsGroupOffsets", of(a.alterStreamsGroupOffsets("s", Map.of(ZERO, new OffsetAndMetadata(1))).all()));
        say("deleteStreamsGroupOffsets", of(a.deleteStreamsGroupOffsets("s", Set.of(ZERO)).all()));
        say("deleteStreamsGroups", of(a.deleteStreamsGroups(List.of("s")).all()));
    }

    static Properties settings = new Properties();

    public static void main(String[] arguments) {
        settings.put("bootstrap.servers", arguments[0]);
        Properties p = new Properties();
        p.putAll(settings);
        p.put("default.api.timeout.ms", "15000");
        p.put("request.timeout.ms", "10000");
        try (Admin a = Admin.create(p)) {
            topics(a);
            settings(a);
            groups(a);
            cluster(a);
            refused(a);
            say("clientInstanceId", () -> a.clientInstanceId(java.time.Duration.ofSeconds(10)) != null);
            say("deleteTopics", of(a.deleteTopics(List.of(TOPIC)).all()));
            say("deleteTopics none", of(a.deleteTopics(List.of("none")).all()));
        }
    }
}
