/*
 * port_check.c - can these ports be started on this machine? If not: why, and what mends it.
 *
 * Owner: main, at boot.
 *
 * EAL says "Cannot init memory" or "No such device" for a dozen causes. So the causes are looked at
 * one by one before it is started, in the order in which they stop a start: permissions, device,
 * driver binding, IOMMU, huge pages. Each message is "cause: what was found: the command".
 *
 * What it does not do: it changes nothing on the machine.
 */
#include "port_inside.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum { HUGE_BYTES = 2 << 20, PATH_N = 512, LINE_N = 256 };

printf_like(3, 4) nodiscard static int because(char *why, size_t why_n, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, why_n, format, args);
    va_end(args);
    return E_UNSUPPORTED;
}

/* ── names ── */

bool port_is_pci(const char *name)
{
    size_t colons = 0, digits = 0;

    for (const char *p = name; *p != 0; p++) {
        if (*p == ':')
            colons++;
        else if (isxdigit((unsigned char)*p))
            digits++;
        else if (*p != '.')
            return false;
    }
    return colons >= 1 && digits >= 5;
}

void port_driver_of(const char *name, char *to, size_t to_n)
{
    size_t n = strlen(name);

    while (n > 0 && isdigit((unsigned char)name[n - 1]))
        n--;
    snprintf(to, to_n, "%.*s", (int)n, name);
}

bool port_devarg(const char *devargs, const char *key, char *to, size_t to_n)
{
    size_t key_n = strlen(key);

    for (const char *p = devargs; p != NULL && *p != 0;) {
        const char *end = strchr(p, ',');
        size_t n = end == NULL ? strlen(p) : (size_t)(end - p);
        if (n > key_n && strncmp(p, key, key_n) == 0 && p[key_n] == '=') {
            snprintf(to, to_n, "%.*s", (int)(n - key_n - 1), p + key_n + 1);
            return true;
        }
        p = end == NULL ? NULL : end + 1;
    }
    return false;
}

/* ── looking ── */

void port_machine_read(struct port_machine *m)
{
    char line[LINE_N];
    FILE *f = fopen("/proc/self/status", "r");

    *m = (struct port_machine){.root = "", .uid = (uint32_t)geteuid()};
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "CapEff:", 7) == 0)
            m->capabilities = strtoull(line + 7, NULL, 16);
    if (f != NULL)
        fclose(f);
}

static bool has_capability(const struct port_machine *m, int at)
{
    return (m->capabilities >> at & 1) != 0;
}

printf_like(3, 4) static void path_make(const struct port_machine *m, char *to, const char *format,
                                        ...)
{
    va_list args;
    int n = snprintf(to, PATH_N, "%s", m->root);

    va_start(args, format);
    vsnprintf(to + n, (size_t)(PATH_N - n), format, args);
    va_end(args);
}

static uint64_t number_read(const char *path)
{
    char line[LINE_N] = "";
    FILE *f = fopen(path, "r");

    if (f == NULL)
        return 0;
    if (fgets(line, sizeof line, f) == NULL)
        line[0] = 0;
    fclose(f);
    return strtoull(line, NULL, 10);
}

static uint64_t huge_n(const struct port_machine *m, const char *which)
{
    char path[PATH_N];

    path_make(m, path, "/sys/kernel/mm/hugepages/hugepages-2048kB/%s_hugepages", which);
    return number_read(path);
}

uint64_t port_huge_free_n(const struct port_machine *m)
{
    return huge_n(m, "free");
}

/* The last part of where a link points; "" when there is none. */
static void link_read(const char *path, char *to, size_t to_n)
{
    char target[PATH_N];
    ssize_t n = readlink(path, target, sizeof target - 1);

    to[0] = 0;
    if (n <= 0)
        return;
    target[n] = 0;
    const char *last = strrchr(target, '/');
    snprintf(to, to_n, "%.*s", (int)to_n - 1, last == NULL ? target : last + 1);
}

/* ── PCI ── */

nodiscard static int check_iommu(const struct port_machine *m, const char *name, char *why,
                                 size_t why_n)
{
    char path[PATH_N], group[LINE_N], unsafe[PATH_N], line[LINE_N] = "";

    path_make(m, path, "/sys/bus/pci/devices/%s/iommu_group", name);
    link_read(path, group, sizeof group);
    path_make(m, unsafe, "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode");
    FILE *f = fopen(unsafe, "r");
    if (f != NULL && fgets(line, sizeof line, f) == NULL)
        line[0] = 0;
    if (f != NULL)
        fclose(f);
    if (group[0] == 0 && line[0] != 'Y' && line[0] != '1')
        return because(why, why_n,
                       "IOMMU: %s is in no group: boot with intel_iommu=on iommu=pt (AMD: "
                       "amd_iommu=on iommu=pt), or, without its protection: echo 1 > "
                       "/sys/module/vfio/parameters/enable_unsafe_noiommu_mode and bind again",
                       name);
    if (group[0] == 0)
        return 0;
    path_make(m, path, "/dev/vfio/%s", group);
    if (access(path, R_OK | W_OK) != 0)
        return because(why, why_n,
                       "permissions: /dev/vfio/%s (%s) cannot be opened: %s: chown %u /dev/vfio/%s",
                       group, name, strerror(errno), m->uid, group);
    return 0;
}

nodiscard static int check_pci(const struct port_machine *m, const char *name, char *why,
                               size_t why_n)
{
    char path[PATH_N], driver[LINE_N];

    path_make(m, path, "/sys/bus/pci/devices/%s", name);
    if (access(path, F_OK) != 0)
        return because(why, why_n,
                       "device: there is no PCI device %s: grep -l 0x02 "
                       "/sys/bus/pci/devices/*/class lists those for networks",
                       name);
    path_make(m, path, "/sys/bus/pci/devices/%s/driver", name);
    link_read(path, driver, sizeof driver);
    if (strcmp(driver, "vfio-pci") == 0)
        return check_iommu(m, name, why, why_n);
    if (strcmp(driver, "uio_pci_generic") == 0 || strcmp(driver, "igb_uio") == 0 ||
        strcmp(driver, "mlx5_core") == 0 || strcmp(driver, "mlx4_core") == 0)
        return 0; /* the last two work beside the kernel's driver */
    if (driver[0] == 0)
        return because(why, why_n,
                       "driver binding: %s is bound to no driver, not to vfio-pci: modprobe "
                       "vfio-pci && echo vfio-pci > /sys/bus/pci/devices/%s/driver_override && "
                       "echo %s > /sys/bus/pci/drivers_probe",
                       name, name, name);
    return because(why, why_n,
                   "driver binding: %s is bound to %s, not to vfio-pci: modprobe vfio-pci && echo "
                   "vfio-pci > /sys/bus/pci/devices/%s/driver_override && echo %s > "
                   "/sys/bus/pci/devices/%s/driver/unbind; echo %s > /sys/bus/pci/drivers_probe",
                   name, driver, name, name, name, name);
}

/* ── devices of the kernel ── */

/* An XDP socket has a queue of the interface to itself. */
nodiscard static int check_queues(const struct port_machine *m, const struct port_config *p,
                                  const char *interface, char *why, size_t why_n)
{
    char driver[PORT_NAME_MAX], text[LINE_N], path[PATH_N];
    unsigned long first = 0, n = 1, there = 0;

    port_driver_of(p->name, driver, sizeof driver);
    if (strcmp(driver, "net_af_xdp") != 0)
        return 0;
    if (port_devarg(p->devargs, "start_queue", text, sizeof text))
        first = strtoul(text, NULL, 10);
    if (port_devarg(p->devargs, "queue_count", text, sizeof text))
        n = strtoul(text, NULL, 10);
    for (bool is_there = true; is_there; there += is_there) {
        path_make(m, path, "/sys/class/net/%s/queues/rx-%lu", interface, there);
        is_there = access(path, F_OK) == 0;
    }
    if (there == 0 || first + n <= there)
        return 0;
    return because(why, why_n,
                   "queue count: %s wants queues %lu to %lu of %s, which has %lu: ethtool -L %s "
                   "combined %lu, or fewer by queue_count= in dpdk.devargs",
                   p->name, first, first + n - 1, interface, there, interface, first + n);
}

nodiscard static int check_interface(const struct port_machine *m, const struct port_config *p,
                                     char *why, size_t why_n)
{
    char interface[LINE_N], path[PATH_N];

    if (!port_devarg(p->devargs, "iface", interface, sizeof interface))
        return because(
            why, why_n,
            "device: %s needs an interface: dpdk.devargs=iface=NAME, one of /sys/class/net",
            p->name);
    path_make(m, path, "/sys/class/net/%s", interface);
    if (access(path, F_OK) != 0)
        return because(why, why_n,
                       "device: %s: there is no interface %s: ip link add %s type veth peer name "
                       "%s-peer && ip link set %s up",
                       p->name, interface, interface, interface, interface);
    path_make(m, path, "/sys/class/net/%s/flags", interface);
    char line[LINE_N] = "";
    FILE *f = fopen(path, "r");
    if (f != NULL && fgets(line, sizeof line, f) == NULL)
        line[0] = 0;
    if (f != NULL)
        fclose(f);
    if ((strtoul(line, NULL, 16) & 1) == 0)
        return because(why, why_n, "device: %s: the interface %s is down: ip link set %s up",
                       p->name, interface, interface);
    return check_queues(m, p, interface, why, why_n);
}

nodiscard static int check_virtual(const struct port_machine *m, const struct port_config *p,
                                   char *why, size_t why_n)
{
    char driver[PORT_NAME_MAX];
    bool has_admin = has_capability(m, PORT_CAP_NET_ADMIN);

    port_driver_of(p->name, driver, sizeof driver);
    if (strcmp(driver, "net_af_packet") == 0 && !has_capability(m, PORT_CAP_NET_RAW))
        return because(why, why_n,
                       "permissions: %s needs CAP_NET_RAW: start as root, or: setcap "
                       "cap_net_raw,cap_net_admin+ep build/millraced",
                       p->name);
    if (strcmp(driver, "net_tap") == 0 && !has_admin)
        return because(why, why_n,
                       "permissions: %s needs CAP_NET_ADMIN: start as root, or: setcap "
                       "cap_net_admin+ep build/millraced",
                       p->name);
    if (strcmp(driver, "net_af_xdp") == 0 &&
        (!has_admin || !(has_capability(m, PORT_CAP_BPF) || has_capability(m, PORT_CAP_SYS_ADMIN))))
        return because(
            why, why_n,
            "permissions: %s needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF: start as root", p->name);
    if (strcmp(driver, "net_af_packet") == 0 || strcmp(driver, "net_af_xdp") == 0)
        return check_interface(m, p, why, why_n);
    if (strcmp(driver, "net_tap") == 0) {
        char path[PATH_N];
        path_make(m, path, "/dev/net/tun");
        if (access(path, F_OK) != 0)
            return because(
                why, why_n,
                "device: %s: there is no /dev/net/tun: modprobe tun && mkdir -p /dev/net "
                "&& mknod /dev/net/tun c 10 200",
                p->name);
    }
    return 0;
}

/* ── all ── */

int port_check(const struct port_machine *m, const struct ports_config *config,
               uint64_t memory_bytes, bool *use_huge, char *why, size_t why_n)
{
    uint64_t needed_n = (memory_bytes + HUGE_BYTES - 1) / HUGE_BYTES;
    uint64_t free_n = port_huge_free_n(m), nr_n = huge_n(m, "nr");
    uint64_t to_set_n = needed_n + (nr_n > free_n ? nr_n - free_n : 0); /* others have theirs */
    const char *pci = NULL;
    int rc;

    for (uint32_t i = 0; i < config->ports_n; i++) {
        const struct port_config *p = &config->ports[i];
        bool is_pci = port_is_pci(p->name);
        rc = is_pci ? check_pci(m, p->name, why, why_n) : check_virtual(m, p, why, why_n);
        if (rc != 0)
            return rc;
        if (is_pci)
            pci = p->name;
    }
    *use_huge = strcmp(config->huge, "no") != 0 && free_n >= needed_n;
    if (!*use_huge && strcmp(config->huge, "yes") == 0)
        return because(why, why_n,
                       "hugepages: %llu of 2 MiB are needed, %llu are free: echo %llu > "
                       "/proc/sys/vm/nr_hugepages, or dpdk.huge=no",
                       (unsigned long long)needed_n, (unsigned long long)free_n,
                       (unsigned long long)to_set_n);
    if (!*use_huge && pci != NULL)
        return because(why, why_n,
                       "hugepages: the PCI device %s needs %llu of 2 MiB, %llu are free: echo %llu "
                       "> /proc/sys/vm/nr_hugepages",
                       pci, (unsigned long long)needed_n, (unsigned long long)free_n,
                       (unsigned long long)to_set_n);
    return 0;
}
