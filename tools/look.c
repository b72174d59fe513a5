/*
 * look.c - `millrace conn list` and `millrace pcap`: what the admin listener shows of a worker.
 *
 * Owner: the process, which has one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin.h"

const char conn_help[] =
    "millrace conn list [options]                open connections of a broker, worker by worker\n"
    "\n"
    "  --admin HOST:PORT       the broker's admin.listeners (default " ADMIN_DEFAULT ")\n"
    "\n"
    "  One line each, with tabs: worker, id, peer, listener, transport, milliseconds since bytes\n"
    "  came and went, bytes not yet looked at, answers under way. Connections of our own TCP show\n"
    "  their state, round trip, timeout, congestion window, segment size, what is in flight and\n"
    "  how many segments were sent again. At most about a thousand of each worker.\n"
    "\n"
    "  millrace conn list | column -t -s $'\\t'\n";

const char pcap_help[] =
    "millrace pcap [options] > FILE              the last packets of a worker, as a pcap file\n"
    "\n"
    "  --worker N              which worker (default 0)\n"
    "  --port N                which port of dpdk.ports (default 0)\n"
    "  --admin HOST:PORT       the broker's admin.listeners (default " ADMIN_DEFAULT ")\n"
    "\n"
    "  The first 128 bytes of each; how many are kept: dpdk.capture.packets. Only ports of our "
    "own\n"
    "  TCP have them; for kernel sockets there is tcpdump.\n"
    "\n"
    "  millrace pcap --worker 1 | tshark -r -\n";

int conn_command(struct cli *cli, int argc, char **argv)
{
    enum { ADMIN = CLI_OPTION_OWN };
    static const struct option options[] = {{"admin", required_argument, NULL, ADMIN}, CLI_OPTIONS};
    const char *admin = ADMIN_DEFAULT;
    int option, status = CLI_OK;
    char *body;

    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0)
        if (option == ADMIN)
            admin = optarg;
    if (option == CLI_OPTION_END)
        return status;
    if (argc != optind + 1 || strcmp(argv[optind], "list") != 0)
        return cli_usage(cli, "which of its commands? There is one: millrace conn list");
    int http = admin_get(admin, "/conns", cli->timeout_ms, &body);
    if (http < 0)
        return admin_failed(cli, admin, http);
    status = http == 200 ? CLI_OK : cli_fail(cli, "%s", body);
    if (http == 200)
        fputs(body, stdout);
    free(body);
    return status;
}

int pcap_command(struct cli *cli, int argc, char **argv)
{
    enum { ADMIN = CLI_OPTION_OWN, WORKER, PORT };
    static const struct option options[] = {{"admin", required_argument, NULL, ADMIN},
                                            {"worker", required_argument, NULL, WORKER},
                                            {"port", required_argument, NULL, PORT},
                                            CLI_OPTIONS};
    const char *admin = ADMIN_DEFAULT, *worker = "0", *port = "0";
    int option, status = CLI_OK;
    char *body, path[64];
    size_t n;

    while ((option = cli_next_option(cli, argc, argv, ":h", options, &status)) >= 0) {
        if (option == ADMIN)
            admin = optarg;
        else if (option == WORKER)
            worker = optarg;
        else if (option == PORT)
            port = optarg;
    }
    if (option == CLI_OPTION_END)
        return status;
    if (argc != optind)
        return cli_usage(cli, "%s: no argument is expected", argv[optind]);
    if (isatty(STDOUT_FILENO))
        return cli_usage(cli, "a pcap file is not for a terminal: millrace pcap > last.pcap");
    snprintf(path, sizeof path, "/pcap/%.8s/%.8s", worker, port);
    int http = admin_get_bytes(admin, path, cli->timeout_ms, &body, &n);
    if (http < 0)
        return admin_failed(cli, admin, http);
    status = http == 200 ? CLI_OK : cli_fail(cli, "%s", body);
    if (http == 200)
        fwrite(body, 1, n, stdout);
    free(body);
    return status;
}
