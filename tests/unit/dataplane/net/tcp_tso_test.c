/*
 * tcp_tso_test.c - what large packets are made of, and what happens to parts of them.
 *
 * What every device relies on is checked for each of them in net_cut.h.
 */
#define PEER_TSO
#include "net_peer.h"

enum { MSS = 1460 };

struct counted {
    struct slice_owner owner;
    uint32_t released_n;
};

static void counted_release(struct slice_owner *owner)
{
    container_of(owner, struct counted, owner)->released_n++;
}

static struct peer *open_with(uint32_t tso_bytes, uint8_t tso_pieces, uint32_t cwnd)
{
    struct peer *p = established();
    p->net->config.tso_bytes = tso_bytes;
    p->net->config.tso_pieces = tso_pieces;
    p->tcb->cc.cwnd = cwnd * MSS;
    p->tcb->snd_wnd = p->tcb->snd_wnd_max = 1 << 20;
    return p;
}

/* The window of the peer's ACKs is 64 KiB: 44 segments. */
static void large_packet_stands_for_a_row_of_segments(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    engine_send(p, 20 * MSS);
    assert_int_equal(p->large_n, 1);
    assert_int_equal(p->out_n, 20);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(out_at(p, i)->seq, 1 + i * MSS);
        assert_int_equal(out_at(p, i)->n, MSS);
        assert_int_equal((out_at(p, i)->flags & PSH) != 0, i == 19);
    }
    assert_int_equal(net_stat(p->net, NET_LARGE_SENT), 1);
    assert_int_equal(p->net->recs_out_n, 1);
    peer_free(p);
}

static void large_packet_has_whole_segments_up_to_what_the_device_takes(void **state)
{
    (void)state;
    struct peer *p = open_with(3 * MSS + 700, 8, 100);
    engine_send(p, 8 * MSS);
    assert_int_equal(p->large_n, 3); /* 3, 3 and 2 */
    assert_int_equal(p->out_n, 8);
    peer_free(p);
}

static void large_packet_fits_64_KiB_of_ip(void **state)
{
    (void)state;
    struct peer *p = open_with(1 << 20, 8, 100);
    engine_send(p, 60 * MSS);
    assert_int_equal(p->large_n, 2); /* 44 and 16; net_cut.h checks the length field */
    assert_int_equal(p->out_n, 60);
    peer_free(p);
}

static void large_packet_ends_with_what_the_congestion_window_lets_out(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 10);
    engine_send(p, 1 << 19);
    assert_int_equal(p->large_n, 1);
    assert_int_equal(p->out_n, 10);
    assert_int_equal(p->tcb->pipe, 10 * MSS);
    assert_int_equal(out_at(p, 9)->flags & PSH, 0); /* there is more */
    peer_free(p);
}

static void large_packet_ends_with_the_peers_window(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    p->tcb->snd_wnd = 5 * MSS + 100;
    engine_send(p, 1 << 19);
    assert_int_equal(p->large_n, 1);
    assert_int_equal(p->out_n, 5);
    peer_free(p);
}

static void last_short_segment_follows_by_itself(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    engine_send(p, 4 * MSS + 100);
    assert_int_equal(p->large_n, 1);
    assert_int_equal(p->out_n, 5);
    assert_int_equal(out_at(p, 3)->flags & PSH, 0);
    assert_int_equal(out_at(p, 4)->n, 100);
    assert_true((out_at(p, 4)->flags & PSH) != 0);
    peer_free(p);
}

static void pieces_of_many_slices_are_gathered_and_bounded(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 4, 100);
    struct slice v[9];
    for (int i = 0; i < 9; i++) /* four pieces: 3080 to 4000 bytes, two segments */
        v[i] = (struct slice){zeros, 1000, NULL};
    assert_int_equal(tcp_send(p->tcb, v, 9), 0);
    peer_turn(p);
    assert_int_equal(p->out_n, 7);
    assert_int_equal(p->large_n, 3);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(out_at(p, i)->seq, 1 + i * MSS);
    peer_free(p);
}

static void crumbs_go_segment_by_segment(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    struct slice v[100];
    for (int i = 0; i < 100; i++)
        v[i] = (struct slice){zeros, 100, NULL};
    assert_int_equal(tcp_send(p->tcb, v, 100), 0);
    peer_turn(p);
    assert_int_equal(p->large_n, 0);
    assert_int_equal(p->out_n, 7);
    peer_free(p);
}

static void memory_waits_for_the_ack_of_all_and_for_the_device(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    struct counted c = {.owner = {1, counted_release}};
    struct slice s = {zeros, 6 * MSS, &c.owner};
    p->is_holding = true;
    assert_int_equal(tcp_send(p->tcb, &s, 1), 0);
    peer_turn(p);
    assert_int_equal(p->held_n, 1);
    peer_send(p, ACK, 1, 1 + 6 * MSS, 0);
    peer_turn(p);
    assert_int_equal(c.released_n, 0); /* the device still has it */
    pkt_put(p->held[--p->held_n]);
    assert_int_equal(c.released_n, 1);

    c = (struct counted){.owner = {1, counted_release}};
    s = (struct slice){zeros, 6 * MSS, &c.owner};
    assert_int_equal(tcp_send(p->tcb, &s, 1), 0);
    peer_turn(p);
    pkt_put(p->held[--p->held_n]); /* the device first */
    peer_send(p, ACK, 1, 1 + 11 * MSS, 0);
    peer_turn(p);
    assert_int_equal(c.released_n, 0); /* a segment of it may have to be sent again */
    peer_send(p, ACK, 1, 1 + 12 * MSS, 0);
    peer_turn(p);
    assert_int_equal(c.released_n, 1);
    p->is_holding = false;
    peer_free(p);
}

static void lost_segment_inside_is_sent_again_alone(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    engine_send(p, 10 * MSS);
    assert_int_equal(p->large_n, 1);
    for (uint32_t i = 0; i < 3; i++)
        peer_sack(p, 1 + 3 * MSS, (uint32_t[]){1 + 4 * MSS, 1 + (6 + i) * MSS, 0, 0});
    peer_turn(p);
    assert_int_equal(p->out_n, 1);
    assert_int_equal(out_at(p, 0)->seq, 1 + 3 * MSS);
    assert_int_equal(out_at(p, 0)->n, MSS);
    assert_int_equal(p->large_n, 1);
    assert_int_equal(net_stat(p->net, NET_RETRANSMITS), 1);
    tcb_invariants(p->tcb);
    peer_free(p);
}

static void timeout_of_a_large_packet_sends_its_first_segment(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    engine_send(p, 10 * MSS);
    while (net_stat(p->net, NET_RTOS) == 0)
        assert_true(peer_wait(p, 5000) > 0);
    assert_int_equal(p->out_n, 1);
    assert_int_equal(out_at(p, 0)->seq, 1);
    assert_int_equal(out_at(p, 0)->n, MSS);
    assert_int_equal(p->large_n, 1);
    peer_free(p);
}

static void ack_inside_a_segment_keeps_the_rest_of_a_large_packet(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    engine_send(p, 4 * MSS);
    peer_send(p, ACK, 1, 1 + MSS + 100, 0);
    peer_turn(p);
    tcb_invariants(p->tcb);
    assert_int_equal(p->tcb->pipe, 3 * MSS - 100);
    while (net_stat(p->net, NET_RTOS) == 0)
        assert_true(peer_wait(p, 5000) > 0);
    assert_int_equal(out_at(p, 0)->seq, 1 + MSS + 100);
    assert_int_equal(out_at(p, 0)->n, MSS - 100);
    peer_free(p);
}

static void smaller_path_mtu_sends_what_a_large_packet_held_in_smaller_segments(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    engine_send(p, 6 * MSS);
    p->out_n = 0;
    tcb_mss_lower(p->tcb, 1000);
    uint32_t next = 1;
    for (int i = 0; i < 200 && p->tcb->queued > 0; i++) {
        peer_turn_ns(p, 10 * NS_PER_MS);
        for (uint32_t k = 0; k < p->out_n; k++) {
            assert_true(out_at(p, k)->n <= 1000);
            if (out_at(p, k)->seq == next)
                next += out_at(p, k)->n;
        }
        peer_send(p, ACK, 1, next, 0);
    }
    assert_int_equal(next, 1 + 6 * MSS);
    assert_int_equal(p->tcb->queued, 0);
    engine_send(p, 5000); /* new ones are cut at the new size */
    assert_int_equal(p->out_n, 5);
    assert_int_equal(out_at(p, 0)->n, 1000);
    assert_true(p->large_n >= 2);
    peer_free(p);
}

static void end_of_our_side_is_not_in_a_large_packet(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    struct slice s = {zeros, 5 * MSS, NULL};
    assert_int_equal(tcp_send(p->tcb, &s, 1), 0);
    tcp_shutdown(p->tcb);
    peer_turn(p);
    assert_int_equal(p->out_n, 5);
    assert_int_equal(p->large_n, 1);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal((out_at(p, i)->flags & FIN) != 0, i == 4);
    peer_free(p);
}

static void no_packet_left_is_tried_again(void **state)
{
    (void)state;
    struct peer *p = open_with(65535, 8, 100);
    struct pkt *all = NULL;
    for (struct pkt *pkt; (pkt = pkt_take(&p->net->head, HEAD_AT)) != NULL; all = pkt)
        pkt->next = all;
    engine_send(p, 5 * MSS);
    assert_int_equal(p->out_n, 0);
    assert_int_equal(p->tcb->pipe, 0);
    tcb_invariants(p->tcb);
    for (struct pkt *next; all != NULL; all = next) {
        next = all->next;
        pkt_put(all);
    }
    assert_true(peer_wait(p, 10) > 0);
    assert_int_equal(p->out_n, 5);
    assert_int_equal(p->large_n, 1);
    peer_free(p);
}

static void engine_without_checksums_by_the_device_refuses_large_packets(void **state)
{
    (void)state;
    struct net *net = NULL;
    struct net_config config = {.ip = OUR_IP, .mask = 0xffffff00, .tso_bytes = 65535};
    assert_int_equal(net_init(&net, &config, (struct now){NS_PER_S, 0}), E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(large_packet_stands_for_a_row_of_segments),
        TEST(large_packet_has_whole_segments_up_to_what_the_device_takes),
        TEST(large_packet_fits_64_KiB_of_ip),
        TEST(large_packet_ends_with_what_the_congestion_window_lets_out),
        TEST(large_packet_ends_with_the_peers_window),
        TEST(last_short_segment_follows_by_itself),
        TEST(pieces_of_many_slices_are_gathered_and_bounded),
        TEST(crumbs_go_segment_by_segment),
        TEST(memory_waits_for_the_ack_of_all_and_for_the_device),
        TEST(lost_segment_inside_is_sent_again_alone),
        TEST(timeout_of_a_large_packet_sends_its_first_segment),
        TEST(ack_inside_a_segment_keeps_the_rest_of_a_large_packet),
        TEST(smaller_path_mtu_sends_what_a_large_packet_held_in_smaller_segments),
        TEST(end_of_our_side_is_not_in_a_large_packet),
        TEST(no_packet_left_is_tried_again),
        TEST(engine_without_checksums_by_the_device_refuses_large_packets),
    };
    return TESTS_RUN(tests);
}
