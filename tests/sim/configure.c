/*
 * configure.c - the settings of a simulated broker, by its seed.
 *
 * Owner: the simulator.
 */
#include <stdio.h>

#include "check.h"
#include "sim.h"

static void configure_net(struct sim *s)
{
    static const char *const fixed[] = {"listeners=PLAINTEXT://10.0.0.1:9092", "dpdk.ports=sim0",
                                        "dpdk.port.0.address=10.0.0.1/24"};
    char text[128] = "dpdk.devargs=";
    if (s->net == NULL) {
        check(config_override(s->config, "listeners=PLAINTEXT://127.0.0.1:9092", stderr) == 0);
        return;
    }
    for (size_t i = 0; i < array_n(fixed); i++)
        check(config_override(s->config, fixed[i], stderr) == 0);
    sim_net_devargs(s->net, text + strlen(text), sizeof text - strlen(text));
    check(config_override(s->config, text, stderr) == 0);
}

void configure(struct sim *s)
{
    char text[128];
    static const char *const fixed[] = {
        "node.id=1",
        "storage.cache.bytes=67108864",
        "storage.tail.bytes=8388608",
        "log.flush.offset.checkpoint.interval.ms=30",
        "log.flush.start.offset.checkpoint.interval.ms=40",
        "replica.high.watermark.checkpoint.interval.ms=20",
        "offsets.topic.num.partitions=2",
        "group.min.session.timeout.ms=1",
        "group.initial.rebalance.delay.ms=5",
        "group.consumer.min.heartbeat.interval.ms=10",
        "group.consumer.heartbeat.interval.ms=10",
        "group.consumer.assignment.interval.ms=3",
        "log.cleaner.backoff.ms=10",
        "log.initial.task.delay.ms=10",
        "log.retention.check.interval.ms=20",
    };
    check(config_new(&s->config) == 0);
    for (size_t i = 0; i < array_n(fixed); i++)
        check(config_override(s->config, fixed[i], stderr) == 0);
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text, "group.consumer.%ssession.timeout.ms=%d", i == 0 ? "min." : "",
                 s->session_ms);
        check(config_override(s->config, text, stderr) == 0);
    }
    configure_net(s);
    check(config_override(s->config,
                          s->options.seed % 3 == 0 || s->options.is_admin
                              ? "log.dirs=/data,/data2,/data3"
                              : "log.dirs=/data",
                          stderr) == 0);
    bool is_small = s->options.plant == SIM_PLANT_REUSE_EARLY; /* it wraps within a run */
    snprintf(text, sizeof text, "storage.journal.bytes=%u",
             s->options.has_no_journal ? 0
             : is_small                ? 64u << 10
                                       : 64u << (10 + s->options.seed % 6));
    check(config_override(s->config, text, stderr) == 0);
    bool stays = is_small || s->options.plant == SIM_PLANT_HEIR; /* what was written, in the ring */
    snprintf(text, sizeof text, "storage.writeback.ms=%d", stays ? 60000 : 20);
    check(config_override(s->config, text, stderr) == 0);
    static const uint32_t directs[] = {1, 0, 4096, 16384};
    snprintf(text, sizeof text, "storage.direct.min.bytes=%u",
             directs[s->options.seed % array_n(directs)]);
    check(config_override(s->config, text, stderr) == 0);
    snprintf(text, sizeof text, "dataplane.workers=%u", s->options.workers_n);
    check(config_override(s->config, text, stderr) == 0);
    check(config_override(s->config,
                          s->options.is_packing ? "storage.validate.compressed=true"
                                                : "storage.validate.compressed=false",
                          stderr) == 0);
    snprintf(text, sizeof text, "storage.durability=%s",
             s->options.durability == STORE_GROUP ? "group" : "relaxed");
    check(config_override(s->config, text, stderr) == 0);
}
