/*
 * tcp_fast_test.c - segments that were expected, in bursts; segments sent in a row with one record.
 */
#include "net_peer.h"

enum { MSS = 1460, CONNS = 80 };

/* ── received in bursts ── */

static struct pkt *data_make(struct peer *p, uint32_t seq, uint32_t n)
{
    struct wire w = {.flags = ACK, .seq = seq, .ack = 1, .n = n, .wnd = 65535};
    w.opts.has_stamp = p->has_stamp;
    w.opts.stamp = ++p->stamp;
    w.opts.echo = p->engine_stamp;
    return segment_make(p, &w);
}

static void burst_in_order_is_one_run_and_one_ack(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){0}, true, true);
    struct pkt *v[4];
    for (uint32_t i = 0; i < 4; i++)
        v[i] = data_make(p, 1 + i * 1000, 1000);
    uint64_t before = net_stat(p->net, NET_SEGMENTS_FAST);
    net_input_burst(p->net, v, 4, peer_now(p));
    assert_int_equal(net_stat(p->net, NET_SEGMENTS_FAST) - before, 4);
    assert_int_equal(tcp_unread(p->tcb), 4000);
    peer_turn(p);
    expect_one(p, ACK, 1, 4001, 0);
    assert_int_equal(engine_read(p), 4000);
    peer_free(p);
}

static void burst_with_a_broken_segment_ends_before_it(void **state)
{
    (void)state;
    struct peer *p = established();
    struct pkt *v[3];
    for (uint32_t i = 0; i < 3; i++)
        v[i] = data_make(p, 1 + i * 1000, 1000);
    v[1]->data[100] ^= 1;
    net_input_burst(p->net, v, 3, peer_now(p));
    assert_int_equal(net_stat(p->net, NET_DROP_TCP_CHECKSUM), 1);
    assert_int_equal(tcp_unread(p->tcb), 1000);
    assert_int_equal(p->tcb->ooo_ranges_n, 1);
    peer_turn(p);
    expect_one(p, ACK, 1, 1001, 0);
    assert_int_equal(p->out[0].opts.sacks_n, 1);
    peer_free(p);
}

static void burst_beyond_the_window_is_cut_at_its_edge(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){.rcv_bytes = 2500}, true, false);
    struct pkt *v[3];
    for (uint32_t i = 0; i < 3; i++)
        v[i] = data_make(p, 1 + i * 1000, 1000);
    net_input_burst(p->net, v, 3, peer_now(p));
    assert_int_equal(tcp_unread(p->tcb), 2500);
    assert_true(seq_leq(p->tcb->rcv_nxt, p->tcb->rcv_edge));
    peer_free(p);
}

static void segment_with_an_old_timestamp_is_not_expected(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){0}, true, true);
    struct pkt *old = data_make(p, 1, 1000), *good;
    p->stamp += 100;
    peer_send(p, ACK, 1, 1, 1000);
    p->stamp = 101;
    good = data_make(p, 1001, 1000);
    net_input_burst(p->net, (struct pkt *[]){good, old}, 2, peer_now(p));
    assert_int_equal(net_stat(p->net, NET_DROP_TCP_PAWS), 2);
    assert_int_equal(tcp_unread(p->tcb), 1000);
    peer_free(p);
}

static void small_segments_in_a_burst_are_copied_together(void **state)
{
    (void)state;
    struct peer *p = established();
    struct pkt *v[5];
    for (uint32_t i = 0; i < 5; i++)
        v[i] = data_make(p, 1 + i * 100, 100);
    net_input_burst(p->net, v, 5, peer_now(p));
    assert_int_equal(net_stat(p->net, NET_COLLAPSED), 4);
    assert_int_equal(tcp_unread(p->tcb), 500);
    assert_int_equal(p->tcb->rx_true, pkt_true_size(p->tcb->rxq_head));
    assert_int_equal(engine_read(p), 500);
    peer_free(p);
}

static void acks_in_a_burst_count_as_their_last(void **state)
{
    (void)state;
    struct peer *p = established();
    struct pkt *v[3];
    engine_send(p, 6 * MSS);
    assert_int_equal(p->out_n, 6);
    for (uint32_t i = 0; i < 3; i++) {
        struct wire w = {.flags = ACK, .seq = 1, .ack = 1 + (i + 1) * 2 * MSS, .wnd = 65535};
        v[i] = segment_make(p, &w);
    }
    net_input_burst(p->net, v, 3, peer_now(p));
    assert_int_equal(p->tcb->queued, 0);
    assert_true(list_is_empty(&p->tcb->recs));
    tcb_invariants(p->tcb);
    peer_free(p);
}

static void burst_of_many_connections_finds_each(void **state)
{
    (void)state;
    struct net_config config = {.tcbs_max = CONNS, .packets_max = 512};
    struct peer *p = peer_make(config);
    uint32_t iss[CONNS];
    struct pkt *v[CONNS];
    peer_turn(p);
    for (uint16_t i = 0; i < CONNS; i++) {
        p->port = (uint16_t)(PEER_PORT + i);
        peer_syn(p, true, false);
        peer_turn(p);
        peer_send(p, ACK, 1, 1, 0);
        peer_turn(p);
        iss[i] = p->iss;
    }
    assert_int_equal(p->net->tcbs_n, CONNS);
    for (uint16_t i = 0; i < CONNS; i++) {
        p->port = (uint16_t)(PEER_PORT + i);
        p->iss = iss[i];
        v[i] = data_make(p, 1, 500);
    }
    uint64_t before = net_stat(p->net, NET_SEGMENTS_FAST);
    net_input_burst(p->net, v, CONNS, peer_now(p));
    assert_int_equal(net_stat(p->net, NET_SEGMENTS_FAST) - before, CONNS);
    for (uint32_t i = 0; i < CONNS; i++)
        assert_int_equal(tcp_unread(&p->net->tcbs[i]), 500);
    peer_free(p);
}

/* ── sent in a row ── */

static struct tx_rec *row_sent(struct peer *p, uint32_t segments)
{
    engine_send(p, segments * MSS);
    assert_int_equal(p->out_n, segments);
    for (uint32_t i = 0; i < segments; i++) {
        assert_int_equal(p->out[i].seq, 1 + i * MSS);
        assert_int_equal(p->out[i].n, MSS);
        assert_int_equal((p->out[i].flags & PSH) != 0, i + 1 == segments);
    }
    struct tx_rec *rec = rec_first(p->tcb);
    assert_ptr_equal(rec, rec_last(p->tcb));
    assert_int_equal(rec_segments(rec), segments);
    return rec;
}

static void row_sacked_within_is_split_between_segments(void **state)
{
    (void)state;
    struct peer *p = established();
    row_sent(p, 10);
    peer_sack(p, 1, (const uint32_t[]){1 + 2 * MSS, 1 + 4 * MSS, 0, 0});
    assert_int_equal(p->tcb->sacked, 2 * MSS);
    assert_int_equal(p->tcb->sacked_n, 2);
    tcb_invariants(p->tcb);
    /* Only whole segments count, so that nobody makes crumbs of them. */
    peer_sack(p, 1, (const uint32_t[]){1 + 6 * MSS - 10, 1 + 7 * MSS + 10, 0, 0});
    assert_int_equal(p->tcb->sacked, 3 * MSS);
    peer_sack(p, 1, (const uint32_t[]){1 + 8 * MSS + 1, 1 + 9 * MSS - 1, 0, 0});
    assert_int_equal(p->tcb->sacked, 3 * MSS);
    tcb_invariants(p->tcb);
    peer_free(p);
}

static void row_acknowledged_within_a_segment_is_sent_again_to_its_end(void **state)
{
    (void)state;
    struct peer *p = established();
    row_sent(p, 4);
    peer_send(p, ACK, 1, 1 + MSS + 10, 0);
    tcb_invariants(p->tcb);
    assert_int_equal(rec_segments(rec_first(p->tcb)), 3);
    uint64_t rtos = net_stat(p->net, NET_RTOS);
    for (int i = 0; i < 5000 && net_stat(p->net, NET_RTOS) == rtos; i++)
        peer_turn_ns(p, NS_PER_MS);
    expect_one(p, ACK, 1 + MSS + 10, 1, MSS - 10);
    tcb_invariants(p->tcb);
    peer_free(p);
}

static void tail_probe_of_a_row_is_its_last_segment(void **state)
{
    (void)state;
    struct peer *p = established();
    row_sent(p, 5);
    assert_true(peer_wait(p, 1000) > 0);
    expect_one(p, ACK, 1 + 4 * MSS, 1, MSS);
    assert_int_equal(net_stat(p->net, NET_TAIL_PROBES), 1);
    tcb_invariants(p->tcb);
    peer_free(p);
}

static void row_without_sack_loses_one_segment_at_a_time(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){.is_reno = true}, false, false);
    row_sent(p, 10);
    for (int i = 0; i < 3; i++)
        peer_send(p, ACK, 1, 1 + MSS, 0);
    peer_send(p, ACK, 1, 1 + MSS, 0);
    peer_turn(p);
    expect_one(p, ACK, 1 + MSS, 1, MSS);
    assert_int_equal(p->tcb->lost, 0);
    tcb_invariants(p->tcb);
    peer_free(p);
}

static void row_without_packets_is_cut_short_and_goes_on(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){.heads_max = 4}, true, false);
    p->is_holding = true;
    engine_send(p, 8 * MSS);
    assert_true(p->out_n > 0 && p->out_n < 8);
    uint32_t first = p->out_n;
    assert_int_equal(rec_segments(rec_first(p->tcb)), first);
    tcb_invariants(p->tcb);
    while (p->held_n > 0)
        pkt_put(p->held[--p->held_n]);
    peer_turn_ns(p, 2 * NS_PER_MS);
    assert_int_equal(out_at(p, 0)->seq, 1 + first * MSS);
    while (p->held_n > 0)
        pkt_put(p->held[--p->held_n]);
    p->is_holding = false;
    peer_free(p);
}

static void last_full_segment_carries_the_end(void **state)
{
    (void)state;
    struct peer *p = established();
    struct slice s = {zeros, 4 * MSS, NULL};
    assert_int_equal(tcp_send(p->tcb, &s, 1), 0);
    tcp_shutdown(p->tcb);
    peer_turn(p);
    assert_int_equal(p->out_n, 4);
    assert_int_equal(p->out[2].flags & FIN, 0);
    assert_int_equal(p->out[3].flags & FIN, FIN);
    peer_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(burst_in_order_is_one_run_and_one_ack),
        TEST(burst_with_a_broken_segment_ends_before_it),
        TEST(burst_beyond_the_window_is_cut_at_its_edge),
        TEST(segment_with_an_old_timestamp_is_not_expected),
        TEST(small_segments_in_a_burst_are_copied_together),
        TEST(acks_in_a_burst_count_as_their_last),
        TEST(burst_of_many_connections_finds_each),
        TEST(row_sacked_within_is_split_between_segments),
        TEST(row_acknowledged_within_a_segment_is_sent_again_to_its_end),
        TEST(tail_probe_of_a_row_is_its_last_segment),
        TEST(row_without_sack_loses_one_segment_at_a_time),
        TEST(row_without_packets_is_cut_short_and_goes_on),
        TEST(last_full_segment_carries_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
