/*
 * tcp_loss_test.c - sending, recovery, timers and congestion control, and the bugs of other stacks
 * that concern them.
 */
#include "net_peer.h"

#include <math.h>

enum { MSS = 1460 };

static struct peer *established_plain(void)
{
    return established_with((struct net_config){.is_reno = true}, false, false);
}

/* ── sending ── */

static void bug_1_flight_stays_within_cwnd(void **state)
{
    (void)state;
    struct peer *p = established();
    engine_send(p, 1 << 20);
    assert_int_equal(p->out_n, 10); /* RFC 6928 */
    for (int i = 0; i < 3; i++) {
        engine_send(p, 1000);
        assert_int_equal(p->out_n, 0);
    }
    assert_true(p->tcb->pipe <= p->tcb->cc.cwnd);
    peer_free(p);
}

static void bug_6_one_large_send_is_taken_whole(void **state)
{
    (void)state;
    struct peer *p = established();
    uint32_t acked = 1;
    engine_send(p, 1 << 20);
    for (int i = 0; i < 2000 && p->tcb->queued > 0; i++) {
        acked += p->out_n > 0 ? p->out[p->out_n - 1].seq + p->out[p->out_n - 1].n - acked : 0;
        peer_send(p, ACK, 1, acked, 0);
        peer_turn_ns(p, NS_PER_MS);
    }
    assert_int_equal(p->tcb->queued, 0);
    assert_int_equal(acked, 1 + (1 << 20));
    peer_free(p);
}

struct counted {
    struct slice_owner owner;
    uint32_t released_n;
};

static void counted_release(struct slice_owner *owner)
{
    container_of(owner, struct counted, owner)->released_n++;
}

static void memory_is_released_when_acknowledged_and_transmitted(void **state)
{
    (void)state;
    struct peer *p = established();
    struct counted c = {.owner = {1, counted_release}};
    struct slice s = {zeros, 100, &c.owner};
    p->is_holding = true;
    assert_int_equal(tcp_send(p->tcb, &s, 1), 0);
    peer_turn(p);
    peer_send(p, ACK, 1, 101, 0);
    peer_turn(p);
    assert_int_equal(c.released_n, 0); /* the NIC still has it */
    while (p->held_n > 0)
        pkt_put(p->held[--p->held_n]);
    assert_int_equal(c.released_n, 1);
    p->is_holding = false;
    peer_free(p);
}

static void many_small_slices_are_copied_into_one_segment(void **state)
{
    (void)state;
    struct peer *p = established();
    struct slice v[40];
    for (int i = 0; i < 40; i++)
        v[i] = (struct slice){zeros, 10, NULL};
    assert_int_equal(tcp_send(p->tcb, v, 40), 0);
    peer_turn(p);
    expect_one(p, ACK, 1, 1, 400);
    assert_int_equal(net_stat(p->net, NET_LINEARISED), 1);
    peer_free(p);
}

static void bug_39_zero_window_probe_is_below_una_and_backs_off(void **state)
{
    (void)state;
    struct peer *p = established();
    struct wire w = {.flags = ACK, .seq = 1, .ack = 1, .wnd = 0};
    peer_send_wire(p, &w);
    engine_send(p, 500);
    uint32_t before = 0;
    for (int i = 0; i < 5; i++) {
        uint32_t ms = peer_wait(p, 60000);
        expect_one(p, ACK, 0, 1, 0);
        assert_true(ms >= before);
        before = ms;
        peer_send_wire(p, &w);
        peer_turn(p);
    }
    w.wnd = 1000;
    peer_send_wire(p, &w);
    peer_turn(p);
    expect_one(p, ACK, 1, 1, 500);
    peer_free(p);
}

static void bug_40_window_smaller_than_a_segment_does_not_stall(void **state)
{
    (void)state;
    struct peer *p = established();
    struct wire w = {.flags = ACK, .seq = 1, .ack = 1, .wnd = 100};
    peer_send_wire(p, &w);
    engine_send(p, 1000);
    assert_int_equal(p->out_n, 0); /* silly at first */
    assert_true(peer_wait(p, 2000) > 0);
    expect_one(p, ACK, 1, 1, 100);
    peer_free(p);
}

/* ── recovery ── */

static void bug_35_newreno_leaves_fast_recovery_at_recover(void **state)
{
    (void)state;
    struct peer *p = established_plain();
    engine_send(p, 10 * MSS);
    for (int i = 0; i < 3; i++)
        peer_send(p, ACK, 1, 1, 0);
    peer_turn(p);
    assert_int_equal(p->out[0].seq, 1); /* fast retransmit */
    assert_int_equal(p->tcb->recovery, RECOVERY_FAST);
    assert_int_equal(p->tcb->cc.ssthresh, 5 * MSS);
    peer_send(p, ACK, 1, 1 + 4 * MSS, 0); /* partial: the next hole at once */
    peer_turn(p);
    assert_int_equal(p->out[0].seq, 1 + 4 * MSS);
    assert_int_equal(p->tcb->recovery, RECOVERY_FAST);
    peer_send(p, ACK, 1, 1 + 10 * MSS, 0);
    peer_turn(p);
    assert_int_equal(p->tcb->recovery, RECOVERY_NONE);
    assert_int_equal(p->tcb->cc.cwnd, 5 * MSS);
    peer_free(p);
}

static void limited_transmit_sends_a_new_segment_per_duplicate_ack(void **state)
{
    (void)state;
    struct peer *p = established_plain();
    engine_send(p, 20 * MSS);
    for (uint32_t i = 0; i < 2; i++) {
        peer_send(p, ACK, 1, 1, 0);
        peer_turn(p);
        expect_one(p, ACK, 1 + (10 + i) * MSS, 1, MSS);
    }
    peer_free(p);
}

static void bug_50_one_reduction_for_many_losses_of_a_window(void **state)
{
    (void)state;
    struct peer *p = established();
    uint32_t blocks[] = {1 + 2 * MSS, 1 + 3 * MSS,  1 + 4 * MSS, 1 + 5 * MSS,
                         1 + 6 * MSS, 1 + 10 * MSS, 0,           0};
    engine_send(p, 10 * MSS);
    p->now_ns += 20 * NS_PER_MS;
    peer_sack(p, 1, blocks);
    peer_turn(p);
    assert_int_equal(p->tcb->recovery, RECOVERY_FAST);
    uint32_t cwnd = p->tcb->cc.cwnd;
    assert_int_equal(cwnd, (uint32_t)(0.7 * 10 * MSS));
    uint32_t more[] = {1 + 2 * MSS, 1 + 10 * MSS, 0, 0};
    p->now_ns += 20 * NS_PER_MS;
    peer_sack(p, 1 + MSS, more);
    peer_turn(p);
    assert_int_equal(p->tcb->cc.cwnd, cwnd);
    peer_free(p);
}

static void rack_waits_for_a_reordered_segment_then_sends_it(void **state)
{
    (void)state;
    struct peer *p = established();
    uint32_t one[] = {1 + MSS, 1 + 2 * MSS, 0, 0};
    engine_send(p, 2 * MSS);
    p->now_ns += 20 * NS_PER_MS;
    peer_sack(p, 1, one);
    peer_turn(p);
    assert_int_equal(p->out_n, 0); /* min_rtt / 4 first */
    uint32_t ms = peer_wait(p, 50);
    assert_in_range(ms, 2, 6);
    expect_one(p, ACK, 1, 1, MSS);
    peer_free(p);
}

static void tail_loss_probe_comes_before_the_rto(void **state)
{
    (void)state;
    struct peer *p = established();
    engine_send(p, 3 * MSS);
    p->now_ns += 10 * NS_PER_MS;
    peer_send(p, ACK, 1, 1 + MSS, 0);
    peer_turn(p);
    uint32_t ms = peer_wait(p, 500);
    assert_in_range(ms, 1, 100);
    expect_one(p, ACK, 1 + 2 * MSS, 1, MSS);
    assert_int_equal(net_stat(p->net, NET_RTOS), 0);
    peer_free(p);
}

/* Linux delays the ACK of a last odd segment. When the ACKs of those before it come in the turn in
 * which the probe of the whole flight is due, that one is not sent again. */
static void tail_probe_due_in_the_turn_of_an_ack_waits_for_the_delayed_one(void **state)
{
    (void)state;
    struct peer *p = established();
    engine_send(p, 3 * MSS);
    p->now_ns += 10 * NS_PER_MS;
    peer_send(p, ACK, 1, 1 + 3 * MSS, 0);
    peer_turn(p);
    engine_send(p, 3 * MSS);
    p->out_n = 0;
    uint64_t due_ns = p->tcb->due[TIMER_PROBE];
    assert_true(due_ns > p->now_ns && p->tcb->srtt_ns > 0);
    p->now_ns = due_ns + NS_PER_MS; /* this core had other things to do */
    peer_send(p, ACK, 1, 1 + 5 * MSS, 0);
    peer_turn(p);
    assert_int_equal(p->out_n, 0);
    assert_int_equal(net_stat(p->net, NET_TAIL_PROBES), 0);
    uint32_t ms = peer_wait(p, 1000);
    assert_in_range(ms, 100, 300);
    expect_one(p, ACK, 1 + 5 * MSS, 1, MSS);
    peer_free(p);
}

static void bug_42_spurious_timeout_is_undone_by_eifel(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){.no_rack = true}, true, true);
    engine_send(p, 10 * 1448);
    uint32_t cwnd = p->tcb->cc.cwnd, echo = p->engine_stamp;
    assert_true(peer_wait(p, 3000) > 0);
    assert_int_equal(p->tcb->recovery, RECOVERY_RTO);
    assert_true(p->tcb->cc.cwnd < cwnd);
    p->engine_stamp = echo; /* the ACK of the first transmission, late */
    peer_send(p, ACK, 1, 1 + 1448, 0);
    peer_turn(p);
    assert_int_equal(p->tcb->recovery, RECOVERY_NONE);
    assert_true(p->tcb->cc.cwnd >= cwnd);
    assert_int_equal(p->tcb->undos, 1);
    tcb_invariants(p->tcb);
    peer_free(p);
}

static void bug_51_repeated_timeouts_keep_flight_and_double(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){.no_rack = true}, true, false);
    engine_send(p, 5 * MSS);
    uint32_t before = 0;
    for (int i = 0; i < 5; i++) {
        uint32_t ms = peer_wait(p, 60000);
        assert_int_equal(p->out[0].seq, 1);
        assert_true(p->out_n == 1);
        assert_true(i == 0 || (ms >= 2 * before - 2 && ms <= 2 * before + 2));
        before = ms;
        assert_int_equal(p->tcb->pipe + p->tcb->lost, 5 * MSS);
        tcb_invariants(p->tcb);
    }
    peer_free(p);
}

/* RFC 2018 8: a receiver may drop what it has SACKed. Only the timeout finds that out. */
static void sacked_bytes_that_the_peer_dropped_are_sent_again_after_the_timeout(void **state)
{
    (void)state;
    struct peer *p = established_with((struct net_config){.no_rack = true}, true, false);
    uint32_t blocks[] = {1 + MSS, 1 + 3 * MSS, 0, 0, 0, 0};
    engine_send(p, 3 * MSS);
    peer_sack(p, 1, blocks);
    peer_turn(p);
    assert_int_equal(p->tcb->sacked, 2 * MSS);
    peer_send(p, ACK, 1, 1 + MSS, 0);
    peer_turn(p);
    assert_int_equal(p->tcb->sacked, 2 * MSS);
    assert_true(peer_wait(p, 3000) > 0);
    assert_int_equal(p->tcb->sacked, 0);
    assert_int_equal(p->out[0].seq, 1 + MSS);
    assert_int_equal(p->tcb->pipe + p->tcb->lost, 2 * MSS);
    tcb_invariants(p->tcb);
    peer_send(p, ACK, 1, 1 + 2 * MSS, 0);
    peer_turn(p);
    assert_true(p->out_n > 0);
    assert_int_equal(p->out[0].seq, 1 + 2 * MSS);
    tcb_invariants(p->tcb);
    peer_free(p);
}

static void bug_57_one_ack_for_many_segments(void **state)
{
    (void)state;
    struct peer *p = established();
    engine_send(p, 10 * MSS);
    peer_send(p, ACK, 1, 1 + 10 * MSS, 0);
    peer_turn(p);
    assert_int_equal(p->tcb->pipe, 0);
    assert_true(list_is_empty(&p->tcb->recs));
    assert_int_equal(p->tcb->due[TIMER_RTO], 0);
    peer_free(p);
}

static void sack_of_what_was_never_sent_is_ignored(void **state)
{
    (void)state;
    struct peer *p = established();
    uint32_t bad[] = {1 + MSS, 900000, 5, 3, 0, 0};
    engine_send(p, 3 * MSS);
    peer_sack(p, 1, bad);
    peer_turn(p);
    assert_int_equal(p->tcb->sacked, 0);
    tcb_invariants(p->tcb);
    peer_free(p);
}

/* ── congestion control ── */

static void bug_49_window_does_not_grow_while_the_peer_limits(void **state)
{
    (void)state;
    struct peer *p = established();
    uint32_t cwnd = p->tcb->cc.cwnd, acked = 1;
    for (int i = 0; i < 50; i++) {
        engine_send(p, 1000);
        acked += 1000;
        peer_send(p, ACK, 1, acked, 0);
        peer_turn(p);
    }
    assert_int_equal(p->tcb->cc.cwnd, cwnd);
    peer_free(p);
}

static void cubic_follows_its_formula(void **state)
{
    (void)state;
    struct peer *p = established();
    struct tcb *tcb = p->tcb;
    double w_max = 100;
    tcb->srtt_ns = 100 * NS_PER_MS;
    tcb->cc.cwnd = 100 * MSS;
    cc_reduce(tcb);
    assert_int_equal(tcb->cc.cwnd, 70 * MSS);
    double k = cbrt(w_max * 0.3 / 0.4), begin = (double)p->now_ns / 1e9;
    for (int ms = 0; ms < 6000; ms += 100) {
        p->net->now_ns = p->now_ns += 100 * NS_PER_MS;
        tcb->cc.is_limited = true;
        cc_acked(tcb, tcb->cc.cwnd); /* one round trip */
        double t = (double)p->now_ns / 1e9 - begin, w = 0.4 * pow(t - k, 3) + w_max;
        if (t > 1 && t < k)
            assert_true(fabs((double)tcb->cc.cwnd / MSS - w) < 3.0);
    }
    assert_true(tcb->cc.cwnd > 100 * MSS);
    peer_free(p);
}

static void reno_adds_a_segment_a_round_trip(void **state)
{
    (void)state;
    struct peer *p = established_plain();
    p->tcb->cc.cwnd = p->tcb->cc.ssthresh = 20 * MSS;
    for (uint32_t round = 1; round <= 10; round++) {
        p->tcb->cc.is_limited = true;
        cc_acked(p->tcb, p->tcb->cc.cwnd);
        assert_int_equal(p->tcb->cc.cwnd, (20 + round) * MSS);
    }
    peer_free(p);
}

/* ── timers ── */

static void bug_27_every_timer_fires(void **state)
{
    (void)state;
    struct peer *p = established();
    peer_send(p, ACK, 1, 1, 100); /* delayed ACK */
    peer_turn(p);
    assert_int_equal(peer_wait(p, 1000), 40);
    expect_one(p, ACK, 1, 101, 0);
    assert_true(peer_wait(p, 61000) > 59000); /* keepalive */
    expect_one(p, ACK, 0, 101, 0);
    assert_int_equal(net_stat(p->net, NET_KEEPALIVES), 1);
    while (p->tcb->state != TCPS_CLOSED)
        assert_true(peer_wait(p, 60000) > 0); /* until it is given up */
    assert_int_equal(tcp_error(p->tcb), E_TIMED_OUT);
    assert_int_equal(p->out[0].flags, RST | ACK);
    peer_free(p);
}

static void user_timeout_gives_up_without_progress(void **state)
{
    (void)state;
    struct peer *p = established();
    engine_send(p, 100);
    uint64_t begin = p->now_ns;
    while (p->tcb->state != TCPS_CLOSED && p->now_ns - begin < 300 * NS_PER_S)
        peer_turn_ns(p, 10 * NS_PER_MS);
    assert_int_equal(tcp_error(p->tcb), E_TIMED_OUT);
    assert_in_range((p->now_ns - begin) / NS_PER_S, 30, 62);
    peer_free(p);
}

/* Found by the simulator: an ARP reply broken on its way (it has no checksum) was believed for a
 * minute, and every segment went to nobody. */
static void bug_409791_neighbour_is_asked_again_when_timeouts_follow_each_other(void **state)
{
    (void)state;
    struct peer *p = established();
    uint32_t asked[6] = {0};
    engine_send(p, 100);
    while (net_stat(p->net, NET_RTOS) < 6) {
        peer_turn_ns(p, NS_PER_MS);
        uint64_t rtos = net_stat(p->net, NET_RTOS);
        asked[rtos < 6 ? rtos : 5] = p->arps_n;
    }
    assert_true(asked[4] > asked[3] && asked[5] > asked[4]);
    peer_free(p);
}

/* The same for an end that only receives: a SYN-ACK came with a broken source address. */
static void bug_424844_neighbour_is_asked_when_keepalives_find_no_answer(void **state)
{
    (void)state;
    struct net_config config = {.keepalive_ms = 1000, .keepalive_n = 20};
    struct peer *p = established_with(config, true, false);
    uint32_t asked = p->arps_n;
    while (net_stat(p->net, NET_KEEPALIVES) < 4)
        peer_turn_ns(p, NS_PER_MS);
    assert_true(p->arps_n > asked);
    peer_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bug_424844_neighbour_is_asked_when_keepalives_find_no_answer),
        TEST(bug_409791_neighbour_is_asked_again_when_timeouts_follow_each_other),
        TEST(bug_1_flight_stays_within_cwnd),
        TEST(bug_6_one_large_send_is_taken_whole),
        TEST(memory_is_released_when_acknowledged_and_transmitted),
        TEST(many_small_slices_are_copied_into_one_segment),
        TEST(bug_39_zero_window_probe_is_below_una_and_backs_off),
        TEST(bug_40_window_smaller_than_a_segment_does_not_stall),
        TEST(bug_35_newreno_leaves_fast_recovery_at_recover),
        TEST(limited_transmit_sends_a_new_segment_per_duplicate_ack),
        TEST(bug_50_one_reduction_for_many_losses_of_a_window),
        TEST(rack_waits_for_a_reordered_segment_then_sends_it),
        TEST(tail_loss_probe_comes_before_the_rto),
        TEST(tail_probe_due_in_the_turn_of_an_ack_waits_for_the_delayed_one),
        TEST(bug_42_spurious_timeout_is_undone_by_eifel),
        TEST(bug_51_repeated_timeouts_keep_flight_and_double),
        TEST(sacked_bytes_that_the_peer_dropped_are_sent_again_after_the_timeout),
        TEST(bug_57_one_ack_for_many_segments),
        TEST(sack_of_what_was_never_sent_is_ignored),
        TEST(bug_49_window_does_not_grow_while_the_peer_limits),
        TEST(cubic_follows_its_formula),
        TEST(reno_adds_a_segment_a_round_trip),
        TEST(bug_27_every_timer_fires),
        TEST(user_timeout_gives_up_without_progress),
    };
    return TESTS_RUN(tests);
}
