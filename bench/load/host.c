/*
 * host.c - what the numbers were measured on, and what processes cost.
 *
 * Owner: the generator. Everything is read from /proc; a value that cannot be read is empty or -1.
 */
#include <stdlib.h>
#include <sys/statfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "load.h"

static bool read_line(const char *path, const char *begins, char *to, size_t n)
{
    char line[512];
    FILE *f = fopen(path, "r");
    bool found = false;
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, begins, strlen(begins)) == 0)
            found = true;
    if (f != NULL)
        fclose(f);
    if (!found)
        return false;
    const char *value = strchr(line, ':');
    value = value == NULL ? line : value + 1;
    snprintf(to, n, "%s", value + strspn(value, " \t"));
    to[strcspn(to, "\n")] = 0;
    return true;
}

static const char *file_system_name(long type)
{
    switch (type) {
    case 0xEF53: return "ext4";
    case 0x58465342: return "xfs";
    case 0x01021994: return "tmpfs";
    case 0x794c7630: return "overlay";
    case 0x9123683E: return "btrfs";
    default: return "other";
    }
}

void load_host_read(struct load_host *host)
{
    char text[128];
    struct utsname u;
    struct statfs fs;
    time_t now = (time_t)(clock_read().wall_ms / 1000);
    struct tm tm;
    *host = (struct load_host){.cores = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    read_line("/proc/cpuinfo", "model name", host->cpu, sizeof host->cpu);
    if (uname(&u) == 0)
        snprintf(host->kernel, sizeof host->kernel, "%.30s %.90s", u.sysname, u.release);
    if (statfs(".", &fs) == 0)
        snprintf(host->file_system, sizeof host->file_system, "%s",
                 file_system_name((long)fs.f_type));
    if (gmtime_r(&now, &tm) != NULL)
        strftime(host->date, sizeof host->date, "%Y-%m-%d %H:%M UTC", &tm);
    host->memory_bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    if (read_line("/proc/loadavg", "", text, sizeof text))
        host->load_before = strtod(text, NULL);
}

/* pid 0: this process; < 0 or gone: -1. Fields 14 and 15 of /proc/PID/stat (proc(5)). */
double load_cpu_of(int pid)
{
    char path[64], line[1024];
    unsigned long long user = 0, system = 0;
    snprintf(path, sizeof path, pid == 0 ? "/proc/self/stat" : "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return -1;
    bool ok = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    const char *after = ok ? strrchr(line, ')') : NULL;
    if (after == NULL || sscanf(after + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu",
                                &user, &system) != 2)
        return -1;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

uint64_t load_rss_of(int pid)
{
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    return pid > 0 && read_line(path, "VmRSS", text, sizeof text) ? strtoull(text, NULL, 10) * 1024
                                                                  : 0;
}

void load_cpu_machine(double *busy_s, double *steal_s)
{
    unsigned long long v[8] = {0};
    FILE *f = fopen("/proc/stat", "r");
    double hz = (double)sysconf(_SC_CLK_TCK);
    if (f != NULL) {
        if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
                   &v[4], &v[5], &v[6], &v[7]) != 8)
            memset(v, 0, sizeof v);
        fclose(f);
    }
    *busy_s = (double)(v[0] + v[1] + v[2] + v[5] + v[6]) / hz;
    *steal_s = (double)v[7] / hz;
}
