/*
 * lane_test.c - packets find the engine that has their flow and their way back to their pool, on a
 * port that is two arrays.
 */
#include "unit.h"

#include "bytes.h"
#include "net_inside.h"
#include "lane.h"

enum { WORKERS = 3, POOL_N = 64, OUR_PORT = 9092 };
#define OUR_IP  0x0a000001u
#define PEER_IP 0x0a000002u

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t all_mac[6] = {255, 255, 255, 255, 255, 255};

/* A port of one queue: what is to arrive, and what was sent. */
struct bed {
    struct port port;
    struct pkt_pool pool;
    struct pkt *in[POOL_N], *out[POOL_N];
    uint32_t in_n, in_at, out_n, room_n, put_n;
    struct net *nets[WORKERS];
    struct lanes *lanes;
    struct now now;
};
static struct bed bed;

static uint32_t bed_rx(struct port *port, uint16_t queue, struct pkt **v, uint32_t max)
{
    uint32_t n = 0;
    assert_int_equal(queue, 0);
    assert_ptr_equal(port, &bed.port);
    while (n < max && bed.in_at < bed.in_n)
        v[n++] = bed.in[bed.in_at++];
    return n;
}

static uint32_t bed_tx(struct port *port, uint16_t queue, struct pkt *const *v, uint32_t n)
{
    uint32_t taken_n = 0;
    (void)port;
    assert_int_equal(queue, 0);
    while (taken_n < n && bed.room_n > 0) {
        bed.out[bed.out_n++] = v[taken_n++];
        bed.room_n--;
    }
    return taken_n;
}

static const struct port_ops bed_ops = {.rx = bed_rx, .tx = bed_tx};

static void bed_release(struct slice_owner *owner)
{
    bed.put_n++;
    pkt_release(owner);
}

static void bed_begin_vlan(uint16_t vlan)
{
    bed = (struct bed){.port.ops = &bed_ops, .room_n = POOL_N, .now.ns = NS_PER_S};
    bed.port.facts.queues_n = 1;
    bed.port.facts.rss_key_n = PORT_RSS_KEY_MAX;
    for (uint32_t i = 0; i < PORT_RSS_KEY_MAX; i++)
        bed.port.facts.rss_key[i] = (uint8_t)(0x6d ^ i * 37);
    assert_true(pkt_pool_init(&bed.pool, POOL_N, PKT_ROOM));
    bed.pool.release = bed_release;
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct net_config config = {.ip = OUR_IP, .mask = 0xffffff00, .seed = i};
        memcpy(config.mac, our_mac, 6);
        assert_int_equal(net_init(&bed.nets[i], &config, bed.now), 0);
        assert_int_equal(net_listen(bed.nets[i], OUR_PORT, 100, &bed), 0);
    }
    assert_int_equal(lanes_open(&bed.lanes, &bed.port, vlan, bed.nets, NULL, WORKERS), 0);
}

static void sent_put(void)
{
    for (uint32_t i = 0; i < bed.out_n; i++)
        pkt_put(bed.out[i]);
    bed.out_n = 0;
}

static void bed_end(void)
{
    sent_put();
    for (uint32_t i = 0; i < WORKERS; i++)
        net_stop(bed.nets[i]);
    lanes_close(bed.lanes);
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_int_equal(bed.nets[i]->head.free_n, bed.nets[i]->head.n);
        net_fini(bed.nets[i]);
    }
    assert_int_equal(bed.pool.free_n, bed.pool.n);
    pkt_pool_fini(&bed.pool);
}

static struct pkt *frame(const uint8_t to[6], uint16_t type)
{
    struct pkt *pkt = pkt_take(&bed.pool, 64);
    pkt->owner.release = bed_release;
    memset(pkt->data, 0, 256);
    memcpy(pkt->data, to, 6);
    memcpy(pkt->data + 6, peer_mac, 6);
    store_u16(pkt->data + 12, type);
    pkt->n = 60;
    bed.in[bed.in_n++] = pkt;
    return pkt;
}

/* A SYN whose checksum the device has verified. */
static struct pkt *syn(uint16_t from_port)
{
    struct pkt *pkt = frame(our_mac, ETHERTYPE_IP4);
    uint8_t *ip = pkt->data + ETH_BYTES, *tcp = ip + IP4_BYTES;
    store_u16(ip, 0x4500);
    store_u16(ip + 2, IP4_BYTES + TCP_BYTES);
    ip[8] = 64;
    ip[9] = IP_TCP;
    store_u32(ip + 12, PEER_IP);
    store_u32(ip + 16, OUR_IP);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < IP4_BYTES; i += 2)
        sum += load_u16(ip + i);
    sum = (sum & 0xffff) + (sum >> 16);
    store_u16(ip + 10, (uint16_t)~sum);
    store_u16(tcp, from_port);
    store_u16(tcp + 2, OUR_PORT);
    store_u32(tcp + 4, 1000);
    store_u16(tcp + 12, 0x5002);
    store_u16(tcp + 14, 1000);
    pkt->flags = PKT_SUM_GOOD;
    return pkt;
}

static void turn(uint8_t worker)
{
    struct lane *lane = lanes_at(bed.lanes, worker);
    lane_rx(lane, bed.now);
    net_turn(bed.nets[worker], bed.now);
    lane_tx(lane, bed.now);
}

static void turns(void)
{
    for (int i = 0; i < 4; i++)
        for (uint8_t w = 0; w < WORKERS; w++)
            turn(w);
}

/* RFC 826's, padded. */
static void arp(const uint8_t to[6], uint16_t op)
{
    uint8_t *p = frame(to, ETHERTYPE_ARP)->data + ETH_BYTES;
    store_u16(p, 1);
    store_u16(p + 2, ETHERTYPE_IP4);
    p[4] = 6;
    p[5] = 4;
    store_u16(p + 6, op);
    memcpy(p + 8, peer_mac, 6);
    store_u32(p + 14, PEER_IP);
    store_u32(p + 24, OUR_IP);
}

static void toeplitz_gives_the_values_of_the_published_key(void **state)
{
    /* The verification suite every NIC with RSS is tested with: 66.9.149.187:2794 to
     * 161.142.100.80:1766 hashes to 51ccc178. */
    static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                    0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                    0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                    0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
    (void)state;
    bed_begin_vlan(0);
    struct lanes *lanes;
    memcpy(bed.port.facts.rss_key, key, sizeof key);
    assert_int_equal(lanes_open(&lanes, &bed.port, 0, bed.nets, NULL, WORKERS), 0);
    uint8_t owner = lane_owner(lanes_at(lanes, 0), 0x420995bb, 2794, 0xa18e6450, 1766);
    assert_int_equal(owner, (0x51ccc178u % PORT_RETA_N) % WORKERS);
    lanes_close(lanes);
    for (uint32_t i = 0; i < WORKERS; i++)
        bed.nets[i]->big.home = bed.nets[i]->head.home = lanes_at(bed.lanes, (uint8_t)i);
    bed_end();
}

static void flow_reaches_its_owner_and_its_answer_the_queue(void **state)
{
    (void)state;
    bed_begin_vlan(0);
    turns(); /* announcements */
    sent_put();
    uint32_t seen = 0;
    for (uint16_t i = 0; i < 24; i++) {
        uint8_t owner =
            lane_owner(lanes_at(bed.lanes, 0), PEER_IP, (uint16_t)(40000 + i), OUR_IP, OUR_PORT);
        uint32_t before = bed.nets[owner]->syns_n;
        syn((uint16_t)(40000 + i));
        turns();
        assert_int_equal(bed.nets[owner]->syns_n, before + 1);
        assert_int_equal(bed.out_n, 1);
        assert_int_equal(load_u16(bed.out[0]->data + ETH_BYTES + IP4_BYTES + 2), 40000 + i);
        sent_put();
        seen |= 1u << owner;
    }
    assert_int_equal(seen, 7);
    turns();
    assert_int_equal(bed.put_n, 24); /* each on the thread of its pool */
    assert_true(lane_stats(lanes_at(bed.lanes, 0))->rx_redirected > 0);
    assert_true(lane_stats(lanes_at(bed.lanes, 1))->tx_redirected > 0);
    bed_end();
}

static void arp_reply_reaches_all_engines_and_a_request_one(void **state)
{
    (void)state;
    bed_begin_vlan(0);
    turns();
    sent_put();
    arp(all_mac, 1);
    turns();
    assert_int_equal(bed.out_n, 1); /* one answer */
    assert_non_null(arp_find(bed.nets[0], PEER_IP));
    assert_null(arp_find(bed.nets[1], PEER_IP));
    for (uint32_t i = 1; i < WORKERS; i++) { /* they have asked */
        struct tcb *tcb = tcp_connect(bed.nets[i], PEER_IP, 80, &bed, bed.now);
        assert_non_null(tcb);
    }
    turns();
    arp(our_mac, 2);
    turns();
    for (uint32_t i = 0; i < WORKERS; i++)
        assert_non_null(arp_find(bed.nets[i], PEER_IP));
    bed_end();
}

static void frame_of_another_vlan_is_dropped_and_ours_are_tagged(void **state)
{
    (void)state;
    bed_begin_vlan(7);
    turns();
    assert_true(bed.out_n > 0);
    assert_int_equal(load_u16(bed.out[0]->data + 12), ETHERTYPE_VLAN);
    assert_int_equal(load_u16(bed.out[0]->data + 14), 7);
    assert_int_equal(load_u16(bed.out[0]->data + 16), ETHERTYPE_ARP);
    sent_put();
    syn(40000);
    turns();
    assert_int_equal(bed.out_n, 0);
    assert_int_equal(lane_stats(lanes_at(bed.lanes, 0))->rx_vlan, 1);
    assert_int_equal(bed.put_n, 1);
    bed_end();
}

static void full_device_keeps_everything_in_order(void **state)
{
    (void)state;
    bed_begin_vlan(0);
    turns();
    sent_put();
    bed.room_n = 0;
    for (uint16_t i = 0; i < 12; i++)
        syn((uint16_t)(50000 + i));
    turns();
    assert_int_equal(bed.out_n, 0);
    assert_true(lane_is_busy(lanes_at(bed.lanes, 0)));
    bed.room_n = 5;
    turns();
    assert_int_equal(bed.out_n, 5);
    bed.room_n = POOL_N;
    turns();
    assert_int_equal(bed.out_n, 12);
    assert_false(lane_is_busy(lanes_at(bed.lanes, 0)));
    bed_end();
}

static void capture_is_a_pcap_file_of_the_last_packets(void **state)
{
    uint8_t file[4096];
    (void)state;
    bed_begin_vlan(0);
    struct lane *lane = lanes_at(bed.lanes, 0);
    assert_int_equal(lane_capture_write(lane, file, sizeof file, 0), 0);
    assert_int_equal(lane_capture_open(lane, 2), 0);
    for (uint16_t i = 0; i < 3; i++)
        frame(our_mac, 0x1234)->data[20] = (uint8_t)i;
    lane_rx(lane, bed.now);
    assert_int_equal(lane_capture_write(lane, file, 10, 0), 0);
    uint64_t n = lane_capture_write(lane, file, sizeof file, 5 * NS_PER_S);
    assert_int_equal(n, 24 + 2 * (16 + 60));
    assert_int_equal(load_u32(file), 0xa1b23c4d);
    assert_int_equal(load_u32(file + 24), 6); /* seconds */
    assert_int_equal(load_u32(file + 24 + 8), 60);
    assert_int_equal(file[24 + 16 + 20], 1); /* the first of three has gone */
    assert_int_equal(file[24 + 16 + 60 + 16 + 20], 2);
    bed_end();
}

static void end_brings_home_what_is_on_its_way(void **state)
{
    (void)state;
    bed_begin_vlan(0);
    for (uint16_t i = 0; i < 12; i++)
        syn((uint16_t)(50000 + i));
    lane_rx(lanes_at(bed.lanes, 0), bed.now); /* redirected, and nobody has looked */
    turn(1);
    bed.room_n = 1;
    turn(0);
    bed_end(); /* counts every packet */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(toeplitz_gives_the_values_of_the_published_key),
        TEST(flow_reaches_its_owner_and_its_answer_the_queue),
        TEST(arp_reply_reaches_all_engines_and_a_request_one),
        TEST(frame_of_another_vlan_is_dropped_and_ours_are_tagged),
        TEST(full_device_keeps_everything_in_order),
        TEST(capture_is_a_pcap_file_of_the_last_packets),
        TEST(end_brings_home_what_is_on_its_way),
    };
    return TESTS_RUN(tests);
}
