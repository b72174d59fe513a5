/*
 * fuzz_frame.c - any bytes, in any pieces, into connections of a whole Kafka layer (fake store,
 * fake control).
 *
 * The first byte chooses the weather: workers, a full store, a slow disk, a slow control, when it
 * becomes durable. The second is the size of the pieces. Afterwards everything must be given back
 * (bed_free checks), whatever came.
 */
#define KAFKA_BED_PLAIN
#define BED_REGION (16 << 20)
#include "fuzz.h"
#include "unit/dataplane/kafka/kafka_bed.h"

enum {
    WEATHER_WORKERS = 1,
    WEATHER_FULL = 2,
    WEATHER_DISK = 4,
    WEATHER_CONTROL = 8,
    WEATHER_LATE = 16,
    WEATHER_RESET = 32
};

static void fuzz_weather(struct bed *bed, uint8_t weather)
{
    for (uint8_t i = 0; i < bed->workers_n; i++) {
        bed->workers[i].store->is_full = (weather & WEATHER_FULL) != 0;
        bed->workers[i].store->is_disk_slow = (weather & WEATHER_DISK) != 0;
        bed->workers[i].store->is_instant = (weather & WEATHER_LATE) == 0;
    }
    bed->is_control_slow = (weather & WEATHER_CONTROL) != 0;
}

static void fuzz_clear(struct bed *bed)
{
    for (uint8_t i = 0; i < bed->workers_n; i++) {
        bed->workers[i].store->is_full = false;
        bed->workers[i].store->is_disk_slow = false;
        fake_disk(bed->workers[i].store, 0, bed->now);
        fake_durable_all(bed->workers[i].store, bed->now);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 3)
        return 0;
    struct bed *bed = bed_new(data[0] & WEATHER_WORKERS ? 2 : 1);
    bed_topic(bed, "t", 3);
    struct client c = client_connect(bed);
    uint64_t piece = data[1] + 1u;
    fuzz_weather(bed, data[0]);
    for (size_t at = 2; at < n && !c.is_over; at += piece) {
        int64_t rc = conn_memory_write(c.memory, data + at, min_u64(piece, n - at), bed->now);
        if (rc < 0)
            break;
        bed_turn(bed);
        client_pull(&c);
        c.in_n = 0;
    }
    if (data[0] & WEATHER_RESET)
        bed_reset_conns(bed, 0);
    bed_turns(bed, 4);
    fuzz_clear(bed);
    bed_turns(bed, 4);
    client_pull(&c);
    client_close(&c);
    bed_unused();
    bed_free(bed);
    return 0;
}
