/*
 * ports_test.c - settings of ports: what they become, and what is said of those that are refused;
 * what a failed check leaves of the last packets.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

#include "apart.h"
#include "bytes.h"
#include "net_inside.h"
#include "worker.h"

static char why[256];
static struct ports_config ports;

static int read_rows(const char *const *rows, size_t n)
{
    struct config *config;
    assert_int_equal(config_new(&config), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(config_override(config, rows[i], stderr), 0);
    why[0] = 0;
    int rc = ports_config_read(config, 3, 1, &ports, why, sizeof why);
    config_free(config);
    return rc;
}
#define READ(...) \
    read_rows((const char *const[]){__VA_ARGS__}, array_n(((const char *const[]){__VA_ARGS__})))

static void refused_with(const char *words)
{
    if (strstr(why, words) == NULL)
        fail_msg("'%s' does not say '%s'", why, words);
}

static void without_names_there_is_no_port(void **state)
{
    (void)state;
    assert_int_equal(READ("dpdk.port.0.address=10.0.0.1/24"), 0);
    assert_int_equal(ports.ports_n, 0);
}

static void two_ports_have_their_own_settings(void **state)
{
    (void)state;
    assert_int_equal(READ("dpdk.ports=net_af_packet0, 0000:03:00.0",
                          "dpdk.devargs=iface=a,qpairs=2;x=1", "dpdk.port.0.address=10.0.0.1/24",
                          "dpdk.port.0.gateway=10.0.0.254", "dpdk.port.1.address=10.1.0.1/16",
                          "dpdk.port.1.vlan=7", "dpdk.port.1.mtu=9000"),
                     0);
    assert_int_equal(ports.ports_n, 2);
    assert_string_equal(ports.ports[0].devargs, "iface=a,qpairs=2");
    assert_string_equal(ports.ports[1].name, "0000:03:00.0");
    assert_string_equal(ports.ports[1].devargs, "x=1");
    assert_int_equal(ports.ports[0].ip, 0x0a000001);
    assert_int_equal(ports.ports[0].mask, 0xffffff00);
    assert_int_equal(ports.ports[0].gateway, 0x0a0000fe);
    assert_int_equal(ports.ports[0].queues_n, 3);
    assert_int_equal(ports.ports[1].mask, 0xffff0000);
    assert_int_equal(ports.ports[1].vlan, 7);
    assert_int_equal(ports.ports[1].mtu, 9000);
}

static void faults_name_the_setting_and_what_it_should_be(void **state)
{
    (void)state;
    assert_int_equal(READ("dpdk.ports=net_tap0"), E_INVALID);
    refused_with("dpdk.port.0.address=10.77.0.1/24");
    assert_int_equal(READ("dpdk.ports=net_tap0", "dpdk.port.0.address=10.0.0.300"), E_INVALID);
    refused_with("address: dpdk.port.0.address=10.0.0.300");
    assert_int_equal(READ("dpdk.ports=net_tap0", "dpdk.port.0.address=10.0.0.1/33"), E_INVALID);
    refused_with("address: dpdk.port.0.address=10.0.0.1/33");
    assert_int_equal(READ("dpdk.ports=net_tap0", "dpdk.port.0.address=127.0.0.1/8"), E_INVALID);
    refused_with("no host can have it");
    assert_int_equal(READ("dpdk.ports=net_tap0", "dpdk.port.0.address=10.0.0.1/24",
                          "dpdk.port.0.gateway=10.0.1.1"),
                     E_INVALID);
    refused_with("address: dpdk.port.0.gateway=10.0.1.1");
    assert_int_equal(READ("dpdk.ports=net_tap0,net_tap1", "dpdk.port.0.address=10.0.0.1/24",
                          "dpdk.port.1.address=10.0.0.1/24"),
                     E_INVALID);
    refused_with("same address");
}

static void listener_with_a_ports_address_is_served_by_it(void **state)
{
    struct listener l[3] = {{.name = "A", .host = "10.0.0.1", .port = 9092},
                            {.name = "B", .host = "127.0.0.1", .port = 9092},
                            {.name = "C", .host = "", .port = 9093}};
    (void)state;
    assert_int_equal(READ("dpdk.ports=net_tap0", "dpdk.port.0.address=10.0.0.1/24"), 0);
    assert_int_equal(ports_listeners_mark(&ports, l, 3, why, sizeof why), 0);
    assert_int_equal(l[0].native, 1);
    assert_int_equal(l[1].native, 0);
    assert_int_equal(l[2].native, 0); /* all addresses of the kernel, and only those */
    l[0].port = 0;
    assert_int_equal(ports_listeners_mark(&ports, l, 3, why, sizeof why), E_INVALID);
    refused_with("a port needs a number here");
    assert_int_equal(ports_listeners_mark(&ports, l + 1, 2, why, sizeof why), E_INVALID);
    refused_with("address: no listener names the address of port net_tap0: "
                 "listeners=PLAINTEXT://10.0.0.1:9092");
}

/* ── a failed check ── */

enum { PACKETS_N = 3, FRAME_N = 60 };
static struct pkt_pool pool;
static uint32_t packets_left_n;

/* Three ARP requests of another network. */
static uint32_t three_rx(struct port *port, uint16_t queue, struct pkt **v, uint32_t max)
{
    static const uint8_t arp[] = {0,  1, 8, 0, 6, 4, 0, 1, 2, 0, 0,  0, 0, 2,
                                  10, 9, 9, 2, 0, 0, 0, 0, 0, 0, 10, 9, 9, 1};
    uint32_t n = 0;
    (void)port;
    (void)queue;
    for (; n < max && packets_left_n > 0; packets_left_n--) {
        struct pkt *pkt = pkt_take(&pool, 64);
        assert_non_null(pkt);
        memset(pkt->data, 0xff, 6);
        memset(pkt->data + 6, 0, FRAME_N - 6);
        pkt->data[6] = 2;
        pkt->data[11] = (uint8_t)packets_left_n;
        store_u16(pkt->data + 12, ETHERTYPE_ARP);
        memcpy(pkt->data + ETH_BYTES, arp, sizeof arp);
        pkt->n = FRAME_N;
        v[n++] = pkt;
    }
    return n;
}

static uint32_t none_tx(struct port *port, uint16_t queue, struct pkt *const *v, uint32_t n)
{
    (void)port;
    (void)queue;
    (void)v;
    (void)n;
    return 0;
}

static const struct port_ops three_ops = {.rx = three_rx, .tx = none_tx};
static const struct port_driver no_driver = {.name = "none"};

/* What a child is told. */
struct failing {
    const char *directory;
    uint32_t captured_n;
};

/* In a child: a worker sees three packets, then a check of it fails. */
static void worker_fails(const void *context)
{
    const struct failing *failing = context;
    static struct worker w;
    static struct log_dir dir;
    static struct port port = {.ops = &three_ops};
    struct net_config config = {.ip = 0x0a000001, .mask = 0xffffff00, .seed = 1};
    struct now now = {.ns = NS_PER_S};
    struct lanes *lanes;

    port.facts.queues_n = 1;
    port.facts.rss_key_n = PORT_RSS_KEY_MAX;
    check(pkt_pool_init(&pool, 8, PKT_ROOM));
    check(net_init(&w.ports.nets[0], &config, now) == 0);
    check(lanes_open(&lanes, &port, 0, w.ports.nets, NULL, 1) == 0);
    w.ports.lanes[0] = lanes_at(lanes, 0);
    check(lane_capture_open(w.ports.lanes[0], failing->captured_n) == 0);
    w.ports.n = 1;
    w.ports.driver = &no_driver;
    snprintf(dir.path, sizeof dir.path, "%s", failing->directory);
    w.log_dirs = &dir;
    worker_ports_begin(&w);
    packets_left_n = PACKETS_N;
    lane_rx(w.ports.lanes[0], now);
    check(packets_left_n == 0);
    check(w.ports.n == 7); /* the planted one */
}

/* Runs it apart; its report, and the bytes of the file it left. */
static size_t failed_check(const char *directory, uint32_t captured_n, char *report,
                           size_t report_n, uint8_t *file, size_t file_n)
{
    char path[DISK_PATH_MAX];
    const struct failing failing = {directory, captured_n};
    int status = run_apart(worker_fails, &failing, report, report_n);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT ||
        strstr(report, "w.ports.n == 7") == NULL)
        fail_msg("status %d: %s", status, report);
    snprintf(path, sizeof path, "%s/failed-check-worker-0-port-0.pcap", directory);
    int fd = open(path, O_RDONLY);
    ssize_t got = fd < 0 ? 0 : read(fd, file, file_n);
    assert_true(got >= 0);
    if (fd >= 0)
        close(fd);
    return (size_t)got;
}

/* What an analyser says of the file, when one is installed. */
static void analyser_reads(const char *directory, const char *words)
{
    char command[DISK_PATH_MAX + 128], line[256] = "";
    snprintf(command, sizeof command,
             "command -v tshark >/dev/null || { echo none; exit; }; "
             "tshark -r %s/failed-check-worker-0-port-0.pcap 2>&1 | tail -1",
             directory);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    pclose(f);
    if (strcmp(line, "none\n") != 0 && strstr(line, words) == NULL)
        fail_msg("tshark says '%s'", line);
}

static void failed_check_leaves_the_last_packets_as_pcap(void **state)
{
    char directory[] = "/tmp/millrace-ports-XXXXXX", path[DISK_PATH_MAX], report[8192];
    uint8_t file[4096];
    (void)state;
    assert_non_null(mkdtemp(directory));
    size_t n = failed_check(directory, 2, report, sizeof report, file, sizeof file);
    assert_int_equal(n, 24 + 2 * (16 + FRAME_N));
    assert_int_equal(load_u32(file), 0xa1b23c4d);
    assert_int_equal(load_u32(file + 24 + 8), FRAME_N);
    assert_int_equal(file[24 + 16 + 11], 2); /* the first of three has gone */
    assert_int_equal(file[24 + 16 + FRAME_N + 16 + 11], 1);
    assert_non_null(strstr(report, "last packets: "));
    analyser_reads(directory, "Who has 10.9.9.1? Tell 10.9.9.2");

    snprintf(path, sizeof path, "%s/failed-check-worker-0-port-0.pcap", directory);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(failed_check(directory, 0, report, sizeof report, file, sizeof file), 0);
    assert_null(strstr(report, "last packets: ")); /* nothing is kept: nothing is written */
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(failed_check(directory, 2, report, sizeof report, file, sizeof file), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_names_there_is_no_port),
        TEST(two_ports_have_their_own_settings),
        TEST(faults_name_the_setting_and_what_it_should_be),
        TEST(listener_with_a_ports_address_is_served_by_it),
        TEST(failed_check_leaves_the_last_packets_as_pcap),
    };
    return TESTS_RUN(tests);
}
