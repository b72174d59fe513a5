/*
 * ports_test.c - settings of ports: what they become, and what is said of those that are refused.
 */
#include "unit.h"

#include "ports.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_names_there_is_no_port),
        TEST(two_ports_have_their_own_settings),
        TEST(faults_name_the_setting_and_what_it_should_be),
        TEST(listener_with_a_ports_address_is_served_by_it),
    };
    return TESTS_RUN(tests);
}
