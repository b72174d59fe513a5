/*
 * port_check_test.c - each cause of a start that would fail is named, with the command that mends
 * it. A made tree stands for /sys and /dev.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "port_inside.h"

enum { MEMORY = 64 << 20, PATH_N = 512 };
#define PCI "0000:03:00.0"

static char root[64];
static struct port_machine machine;
static struct ports_config config;
static char why[PORT_WHY_MAX];
static bool use_huge;

static const char *path_of(const char *path)
{
    static char full[PATH_N];
    snprintf(full, sizeof full, "%s%s", root, path);
    return full;
}

static void folder(const char *path)
{
    char full[PATH_N];
    snprintf(full, sizeof full, "%s", path_of(path));
    for (char *p = full + strlen(root) + 1; *p != 0; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        mkdir(full, 0755);
        *p = '/';
    }
    mkdir(full, 0755);
}

static void file(const char *folder_path, const char *name, const char *text)
{
    char full[PATH_N];
    folder(folder_path);
    snprintf(full, sizeof full, "%s%s/%s", root, folder_path, name);
    FILE *f = fopen(full, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void points(const char *folder_path, const char *name, const char *target)
{
    char full[PATH_N];
    folder(folder_path);
    snprintf(full, sizeof full, "%s%s/%s", root, folder_path, name);
    assert_int_equal(symlink(target, full), 0);
}

static int setup(void **state)
{
    (void)state;
    snprintf(root, sizeof root, "/tmp/millrace-port-XXXXXX");
    if (mkdtemp(root) == NULL)
        return -1;
    machine = (struct port_machine){.root = root, .capabilities = UINT64_MAX, .uid = 1000};
    config = (struct ports_config){.ports_n = 1, .huge = "auto", .packets_n = 4096};
    why[0] = 0;
    return 0;
}

static int teardown(void **state)
{
    char command[PATH_N];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void port_is(const char *name, const char *devargs)
{
    snprintf(config.ports[0].name, PORT_NAME_MAX, "%s", name);
    snprintf(config.ports[0].devargs, PORT_TEXT_MAX, "%s", devargs);
}

static void huge_are(const char *free_n, const char *n)
{
    file("/sys/kernel/mm/hugepages/hugepages-2048kB", "free_hugepages", free_n);
    file("/sys/kernel/mm/hugepages/hugepages-2048kB", "nr_hugepages", n);
}

/* A NIC bound to vfio-pci, in IOMMU group 7, that we may open. */
static void pci_make(const char *driver, const char *group)
{
    folder("/sys/bus/pci/devices/" PCI);
    if (driver != NULL)
        points("/sys/bus/pci/devices/" PCI, "driver", driver);
    if (group != NULL)
        points("/sys/bus/pci/devices/" PCI, "iommu_group", group);
    port_is(PCI, "");
}

static void refused(const char *cause, const char *command)
{
    assert_int_equal(port_check(&machine, &config, MEMORY, &use_huge, why, sizeof why),
                     E_UNSUPPORTED);
    if (strncmp(why, cause, strlen(cause)) != 0 || strstr(why, command) == NULL)
        fail_msg("'%s' is not '%s ... %s'", why, cause, command);
}

static void ready_device_passes_in_huge_pages_when_enough_are_free(void **state)
{
    (void)state;
    pci_make("../../bus/pci/drivers/vfio-pci", "../../kernel/iommu_groups/7");
    file("/dev/vfio", "7", "");
    huge_are("32\n", "32\n");
    assert_int_equal(port_check(&machine, &config, MEMORY, &use_huge, why, sizeof why), 0);
    assert_true(use_huge);
}

static void huge_pages_missing_says_how_many_to_make(void **state)
{
    (void)state;
    pci_make("drivers/vfio-pci", "groups/7");
    file("/dev/vfio", "7", "");
    huge_are("31\n", "31\n");
    refused("hugepages: ", "echo 32 > /proc/sys/vm/nr_hugepages");
    port_is("net_null0", "");
    snprintf(config.huge, sizeof config.huge, "yes");
    refused("hugepages: ", "dpdk.huge=no");
    snprintf(config.huge, sizeof config.huge, "auto");
    assert_int_equal(port_check(&machine, &config, MEMORY, &use_huge, why, sizeof why), 0);
    assert_false(use_huge);
}

static void huge_pages_of_others_stay_theirs(void **state)
{
    (void)state;
    pci_make("drivers/vfio-pci", "groups/7");
    file("/dev/vfio", "7", "");
    huge_are("2\n", "50\n");
    refused("hugepages: ", "32 of 2 MiB, 2 are free: echo 80 > /proc/sys/vm/nr_hugepages");
}

static void other_driver_says_how_to_bind(void **state)
{
    (void)state;
    pci_make("drivers/e1000e", "groups/7");
    refused("driver binding: " PCI " is bound to e1000e",
            "echo " PCI " > /sys/bus/pci/devices/" PCI "/driver/unbind");
    assert_int_equal(unlink(path_of("/sys/bus/pci/devices/" PCI "/driver")), 0);
    refused("driver binding: " PCI " is bound to no driver",
            "driver_override && echo " PCI " > /sys/bus/pci/drivers_probe");
}

static void no_iommu_group_says_what_to_boot_with(void **state)
{
    (void)state;
    pci_make("drivers/vfio-pci", NULL);
    huge_are("100\n", "100\n");
    refused("IOMMU: ", "intel_iommu=on iommu=pt");
    file("/sys/module/vfio/parameters", "enable_unsafe_noiommu_mode", "Y\n");
    assert_int_equal(port_check(&machine, &config, MEMORY, &use_huge, why, sizeof why), 0);
}

static void group_that_cannot_be_opened_says_who_must_own_it(void **state)
{
    (void)state;
    pci_make("drivers/vfio-pci", "groups/7");
    huge_are("100\n", "100\n");
    refused("permissions: /dev/vfio/7", "chown 1000 /dev/vfio/7");
}

static void device_that_is_not_there_says_how_to_find_it(void **state)
{
    (void)state;
    port_is(PCI, "");
    refused("device: there is no PCI device " PCI, "/sys/bus/pci/devices/*/class");
}

static void missing_capabilities_are_named(void **state)
{
    (void)state;
    machine.capabilities = 0;
    port_is("net_af_packet0", "iface=veth0");
    refused("permissions: net_af_packet0 needs CAP_NET_RAW", "setcap");
    port_is("net_tap0", "");
    refused("permissions: net_tap0 needs CAP_NET_ADMIN", "setcap");
    port_is("net_af_xdp0", "iface=veth0");
    refused("permissions: net_af_xdp0 needs CAP_NET_ADMIN", "start as root");
}

static void interfaces_that_are_not_there_or_down_are_named(void **state)
{
    (void)state;
    port_is("net_af_packet0", "");
    refused("device: net_af_packet0 needs an interface", "iface=");
    port_is("net_af_packet0", "iface=veth0,qpairs=2");
    refused("device: net_af_packet0: there is no interface veth0", "ip link add veth0 type veth");
    file("/sys/class/net/veth0", "flags", "0x1002\n");
    refused("device: net_af_packet0: the interface veth0 is down", "ip link set veth0 up");
    file("/sys/class/net/veth0", "flags", "0x1003\n");
    assert_int_equal(port_check(&machine, &config, MEMORY, &use_huge, why, sizeof why), 0);
    port_is("net_tap0", "");
    refused("device: net_tap0: there is no /dev/net/tun", "modprobe tun");
}

static void xdp_socket_needs_a_queue_of_the_interface(void **state)
{
    (void)state;
    file("/sys/class/net/veth0", "flags", "0x1003\n");
    folder("/sys/class/net/veth0/queues/rx-0");
    folder("/sys/class/net/veth0/queues/rx-1");
    port_is("net_af_xdp0", "iface=veth0,start_queue=1,queue_count=2");
    refused("queue count: net_af_xdp0 wants queues 1 to 2 of veth0, which has 2: ",
            "ethtool -L veth0 combined 3");
    port_is("net_af_xdp0", "iface=veth0,queue_count=2");
    assert_int_equal(port_check(&machine, &config, MEMORY, &use_huge, why, sizeof why), 0);
    port_is("net_af_packet0", "iface=veth0,qpairs=4"); /* any number: they share the interface */
    assert_int_equal(port_check(&machine, &config, MEMORY, &use_huge, why, sizeof why), 0);
}

static void names_are_told_apart(void **state)
{
    char text[32];
    (void)state;
    assert_true(port_is_pci("0000:03:00.0") && port_is_pci("3b:00.1"));
    assert_false(port_is_pci("net_tap0") || port_is_pci("eth0") || port_is_pci("12345"));
    port_driver_of("net_af_packet12", text, sizeof text);
    assert_string_equal(text, "net_af_packet");
    assert_true(port_devarg("iface=a,queues=4", "queues", text, sizeof text));
    assert_string_equal(text, "4");
    assert_false(port_devarg("iface=a,queues=4", "face", text, sizeof text));
    assert_false(port_devarg("", "iface", text, sizeof text));
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(ready_device_passes_in_huge_pages_when_enough_are_free),
        T(huge_pages_missing_says_how_many_to_make),
        T(huge_pages_of_others_stay_theirs),
        T(other_driver_says_how_to_bind),
        T(no_iommu_group_says_what_to_boot_with),
        T(group_that_cannot_be_opened_says_who_must_own_it),
        T(device_that_is_not_there_says_how_to_find_it),
        T(missing_capabilities_are_named),
        T(interfaces_that_are_not_there_or_down_are_named),
        T(xdp_socket_needs_a_queue_of_the_interface),
        T(names_are_told_apart),
    };
    return TESTS_RUN(tests);
}
