/*
 * netsim.c - the TCP/IP engine against itself over faulty networks: one run per seed.
 *
 * Owner: main, one thread.
 *
 *   netsim --seeds N [--from S]   seeds S .. S + N - 1; the first that fails is run again with a
 *                                 capture, and the line that repeats it is printed
 *   netsim --seed S               one seed, with build/netsim-S.pcap
 *   netsim --systematic           one exchange, with every single and every pair of frames lost
 *
 * Half of the seeds, and half of the variants of --systematic, have a NIC that cuts (TSO).
 *
 * A seed chooses the options of both ends, the network's faults, how much each side sends, how
 * fast it reads, and whether one side ends it early.
 */
#include "net_bed.h"

#include "clock.h"

static uint64_t pick(struct prng *prng, const uint64_t *v, uint32_t n)
{
    return v[prng_below(prng, n)];
}

static void config_choose(struct prng *prng, struct net_config *c)
{
    static const uint64_t mtus[] = {1500, 1500, 1500, 576, 1280};
    static const uint64_t buffers[] = {262144, 262144, 65536, 4096, 1000, 16384};
    c->mtu = (uint16_t)pick(prng, mtus, array_n(mtus));
    c->rcv_bytes = (uint32_t)pick(prng, buffers, array_n(buffers));
    c->is_reno = prng_chance(prng, 30);
    c->no_rack = prng_chance(prng, 25);
    c->no_sack = prng_chance(prng, 25);
    c->no_timestamps = prng_chance(prng, 30);
    c->no_window_scale = prng_chance(prng, 15);
    c->syns_max = prng_chance(prng, 15) ? 0 : 8;
    c->no_prediction = prng_chance(prng, 25);
    c->seed = prng_next(prng);
}

/* A NIC that adds checksums, and one that cuts. From numbers of its own: the others of a seed are
 * the same with and without. */
static void nic_choose(uint64_t seed, int side, struct net_config *c)
{
    static const uint64_t most[] = {65535, 65535, 65535, 16384, 3000};
    struct prng prng;
    prng_init(&prng, seed * 2 + (uint64_t)side + 0x75e6);
    if (prng_chance(&prng, 50)) {
        c->has_tx_checksum = true;
        c->tso_bytes = (uint32_t)pick(&prng, most, array_n(most));
        c->tso_pieces = (uint8_t)(1 + prng_below(&prng, PKT_PIECES_MAX));
    } else {
        c->has_tx_checksum = prng_chance(&prng, 20);
    }
}

static void faults_choose(struct prng *prng, struct bed_faults *f)
{
    static const uint64_t delays[] = {50000, NS_PER_MS, 10 * NS_PER_MS, 100 * NS_PER_MS};
    f->delay_ns = pick(prng, delays, array_n(delays));
    f->jitter_ns = prng_below(prng, 4 * f->delay_ns + 1);
    f->until_ns = 120 * NS_PER_S;
    if (prng_chance(prng, 60))
        f->loss = (uint8_t)prng_below(prng, prng_chance(prng, 20) ? 30 : 8);
    if (prng_chance(prng, 40))
        f->twice = (uint8_t)prng_below(prng, 15);
    if (prng_chance(prng, 50))
        f->reorder = (uint8_t)prng_below(prng, 40);
    if (prng_chance(prng, 30))
        f->corrupt = (uint8_t)prng_below(prng, 10);
    f->truncate = 30;
    if (prng_chance(prng, 20)) {
        f->rate = 100000 + prng_below(prng, 10000000);
        f->queue_bytes = 8000 + (uint32_t)prng_below(prng, 100000);
    }
}

static uint64_t bytes_choose(struct prng *prng)
{
    static const uint64_t most[] = {0, 1, 100, 3000, 20000, 100000, 200000};
    return prng_below(prng, pick(prng, most, array_n(most)) + 1);
}

/* Half of the runs begin just before sequence numbers wrap. */
static void wrap_set(struct bed *bed, struct prng *prng)
{
    struct tcb *tcb = bed->streams[0][0].tcb;
    if (!prng_chance(prng, 50) || tcb->state != TCPS_SYN_SENT)
        return;
    for (struct pkt *pkt; (pkt = pkt_queue_pop(&bed->net[0]->out)) != NULL;)
        pkt_put(pkt);
    arp_fini(bed->net[0]); /* its SYN waits there; the timer sends the new one */
    struct tx_rec *rec = rec_first(tcb);
    struct seq iss = {UINT32_MAX - (uint32_t)prng_below(prng, 100000)};
    tcb->iss = tcb->snd_una = tcb->recover = tcb->fack = tcb->dsack_round = rec->seq = iss;
    tcb->rack_end = iss;
    tcb->snd_nxt = seq_add(iss, 1);
}

static void streams_choose(struct bed *bed, struct prng *prng)
{
    static const uint64_t slices[] = {1, 20, 500, 5000, 16384, 16384};
    uint32_t conns_n = 1 + (uint32_t)prng_below(prng, 3);
    for (uint32_t i = 0; i < conns_n; i++) {
        uint64_t to_server = bytes_choose(prng), to_client = bytes_choose(prng);
        bed_connect(bed, to_server, to_client);
        for (int side = 0; side < 2; side++) {
            struct bed_stream *s = &bed->streams[i][side];
            s->slice_max = (uint32_t)pick(prng, slices, array_n(slices));
            s->slice_max = (uint32_t)max_u64(s->slice_max, s->total / 500 + 1);
            if (prng_chance(prng, 20)) {
                s->slow_ns = prng_below(prng, 50 * NS_PER_MS);
                s->read_max = 500 + (uint32_t)prng_below(prng, 20000);
            }
            if (prng_chance(prng, 5))
                s->abort_at_ns = bed->now_ns + prng_below(prng, 2 * NS_PER_S);
        }
    }
}

static void stats_print(const struct bed *bed)
{
    for (int side = 0; side < 2; side++)
        for (int at = 0; at < NET_STATS_N; at++)
            if (bed->net[side]->stats[at] > 0)
                printf("  side %d: %8lu  %s\n", side, (unsigned long)bed->net[side]->stats[at],
                       net_stat_text((enum net_stat)at));
}

/* 0, or 1 with the reason printed. */
static int seed_run(const uint8_t *pattern, uint64_t seed, const char *pcap, bool is_quiet)
{
    struct prng prng;
    struct net_config configs[2];
    prng_init(&prng, seed);
    for (int side = 0; side < 2; side++) {
        configs[side] = bed_config_default(side);
        config_choose(&prng, &configs[side]);
        nic_choose(seed, side, &configs[side]);
    }
    struct bed *bed = bed_make(pattern, seed ^ 0x5eed, configs);
    faults_choose(&prng, &bed->faults);
    if (pcap != NULL && (bed->pcap = fopen(pcap, "wbe")) != NULL) {
        uint8_t head[CAPTURE_FILE_BYTES];
        capture_file_head(head);
        fwrite(head, 1, sizeof head, bed->pcap);
    }
    streams_choose(bed, &prng);
    wrap_set(bed, &prng);
    bed_run(bed, 2000 * NS_PER_S);
    bed_judge(bed);
    int rc = bed->fault[0] != '\0';
    if (rc != 0)
        printf("seed %lu at %.6f s: %s\n", (unsigned long)seed, (double)bed->now_ns / 1e9,
               bed->fault);
    else if (!is_quiet)
        printf("seed %lu: %lu frames (%lu lost), %lu events, %.3f s\n", (unsigned long)seed,
               (unsigned long)bed->frames_n, (unsigned long)bed->lost_n,
               (unsigned long)bed->events_n, (double)bed->now_ns / 1e9);
    if (bed->pcap != NULL) {
        fclose(bed->pcap);
        stats_print(bed);
    }
    if (rc == 0) /* a broken run may hold what net_fini would stop at */
        bed_free(bed);
    return rc;
}

static int seeds_run(const uint8_t *pattern, uint64_t from, uint64_t n)
{
    uint64_t begin_ns = clock_read_ns();
    for (uint64_t seed = from; seed < from + n; seed++) {
        if (seed_run(pattern, seed, NULL, true) == 0)
            continue;
        char path[64];
        snprintf(path, sizeof path, "build/netsim-%lu.pcap", (unsigned long)seed);
        (void)seed_run(pattern, seed, path, true);
        printf("again: build/netsim --seed %lu   (frames: %s)\n", (unsigned long)seed, path);
        printf("%lu passed, 1 failed, 0 skipped\n", (unsigned long)(seed - from));
        return 1;
    }
    double ms = (double)(clock_read_ns() - begin_ns) / 1e6;
    printf("netsim: %.2f ms a seed\n", ms / (double)max_u64(n, 1));
    printf("%lu passed, 0 failed, 0 skipped\n", (unsigned long)n);
    return 0;
}

/* ── every single and double loss ── */

/* Handshake, three segments one way and one back, both closes. */
static bool exchange_run(const uint8_t *pattern, int variant, int64_t a, int64_t b,
                         uint64_t *frames_n)
{
    struct net_config configs[2] = {bed_config_default(0), bed_config_default(1)};
    for (int side = 0; side < 2; side++) {
        configs[side].no_sack = (variant & 1) != 0;
        configs[side].no_timestamps = (variant & 2) != 0;
        configs[side].has_tx_checksum = (variant & 8) != 0;
        configs[side].tso_bytes = (variant & 8) != 0 ? 65535 : 0;
    }
    struct bed *bed = bed_make(pattern, 7, configs);
    bed->faults.lose_at[0] = a;
    bed->faults.lose_at[1] = b;
    bed_connect(bed, 3 * 1400, (variant & 4) != 0 ? 0 : 1400);
    bed_run(bed, 300 * NS_PER_S);
    *frames_n = bed->tcp_frames_n;
    bed_judge(bed);
    bool is_good = bed->fault[0] == '\0';
    if (!is_good)
        printf("variant %d, frames %ld and %ld lost: %s\n", variant, (long)a, (long)b, bed->fault);
    else
        bed_free(bed);
    return is_good;
}

static int systematic_run(const uint8_t *pattern)
{
    uint64_t passed = 0, failed = 0, frames_n, ignored;
    for (int variant = 0; variant < 16; variant++) {
        passed += exchange_run(pattern, variant, -1, -1, &frames_n);
        for (int64_t a = 0; a < (int64_t)frames_n + 4; a++) {
            for (int64_t b = a; b < (int64_t)frames_n + 6; b++) {
                bool is_good = exchange_run(pattern, variant, a, b, &ignored);
                passed += is_good;
                failed += !is_good;
            }
        }
    }
    printf("%lu passed, %lu failed, 0 skipped\n", (unsigned long)passed, (unsigned long)failed);
    return failed > 0;
}

int main(int argc, char **argv)
{
    uint64_t seeds = 1000, from = 1, seed = 0;
    bool is_one = false, is_systematic = false;
    for (int i = 1; i < argc; i++) {
        bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--seeds") == 0 && has_value)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--from") == 0 && has_value)
            from = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && has_value) {
            seed = strtoull(argv[++i], NULL, 10);
            is_one = true;
        } else if (strcmp(argv[i], "--systematic") == 0) {
            is_systematic = true;
        } else {
            fprintf(stderr, "netsim --seeds N [--from S] | --seed S | --systematic\n");
            return 2;
        }
    }
    uint8_t *pattern = bed_pattern_make();
    int rc;
    if (is_systematic) {
        rc = systematic_run(pattern);
    } else if (is_one) {
        char path[64];
        snprintf(path, sizeof path, "build/netsim-%lu.pcap", (unsigned long)seed);
        rc = seed_run(pattern, seed, path, false);
    } else {
        rc = seeds_run(pattern, from, seeds);
    }
    free(pattern);
    return rc;
}
