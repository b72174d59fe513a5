/*
 * fuzz_net_opts.c - any TCP options: reading stays within them, and what was written reads the same.
 */
#include "fuzz.h"

#include "net_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct tcp_opts opts = {0}, again = {0};
    uint8_t bytes[40];
    bool is_bad;
    if (n > 40)
        return 0;
    opts_parse(data, (uint32_t)n, &opts, &is_bad);
    check(opts.sacks_n <= SACK_BLOCKS_MAX);
    check(!opts.has_wscale || opts.wscale <= WSCALE_MAX);
    bool is_syn = opts.has_mss || opts.has_sack_ok || opts.has_wscale;
    if (!is_syn && opts.has_stamp && opts.sacks_n > 3)
        opts.sacks_n = 3;
    uint32_t written = opts_write(bytes, &opts, is_syn);
    check(written <= sizeof bytes && written % 4 == 0);
    opts_parse(bytes, written, &again, &is_bad);
    check(!is_bad && again.has_stamp == opts.has_stamp && again.has_mss == opts.has_mss);
    check(!opts.has_stamp || (again.stamp == opts.stamp && again.echo == opts.echo));
    check(!opts.has_mss || again.mss == opts.mss);
    check(is_syn || again.sacks_n == opts.sacks_n);
    return 0;
}
