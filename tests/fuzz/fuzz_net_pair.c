/*
 * fuzz_net_pair.c - two engines; the input decides what the network does to each frame.
 *
 * The first 6 bytes choose options and sizes, every other byte is one decision (lost? late? twice?
 * broken?). When they are used up the network is fair, and the exchange must end well.
 */
#include "fuzz.h"

#include "net_bed.h"

static const uint8_t *pattern;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 6 || n > 4096)
        return 0;
    if (pattern == NULL)
        pattern = bed_pattern_make();
    struct net_config configs[2] = {bed_config_default(0), bed_config_default(1)};
    for (int side = 0; side < 2; side++) {
        configs[side].no_sack = (data[side] & 1) != 0;
        configs[side].no_timestamps = (data[side] & 2) != 0;
        configs[side].no_rack = (data[side] & 4) != 0;
        configs[side].is_reno = (data[side] & 8) != 0;
        configs[side].rcv_bytes = (data[side] & 16) != 0 ? 3000 : 100000;
    }
    struct bed *bed = bed_make(pattern, data[2], configs);
    bed->faults = (struct bed_faults){.loss = 25, .twice = 10, .reorder = 25, .corrupt = 5,
                                      .truncate = 20, .delay_ns = NS_PER_MS,
                                      .jitter_ns = 20 * NS_PER_MS, .until_ns = UINT64_MAX,
                                      .script = data + 6, .script_n = n - 6,
                                      .lose_at = {-1, -1}};
    bed_connect(bed, (uint64_t)data[3] * 100, (uint64_t)data[4] * 100);
    bed->streams[0][0].slice_max = 1 + data[5] * 10u;
    bed_run(bed, 3000 * NS_PER_S);
    bed_judge(bed);
    if (bed->fault[0] != '\0')
        fprintf(stderr, "%s\n", bed->fault);
    check(bed->fault[0] == '\0');
    bed_free(bed);
    return 0;
}
