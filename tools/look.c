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
    "  --json                  for programs; names carry their units: tcp.rtt_us\n"
    "\n"
    "  One line each, with tabs: worker, id, peer, listener, transport, milliseconds since bytes\n"
    "  came and went, bytes not yet looked at, answers under way. Connections of our own TCP show\n"
    "  their state, round trip, timeout, congestion window, segment size, what is in flight, how\n"
    "  many segments were sent again, how often bytes of theirs came while some before them were\n"
    "  missing, and how often the peer was asked whether its closed window is open. At most about "
    "a thousand of each worker.\n"
    "\n"
    "  millrace conn list | column -t -s $'\\t'\n"
    "  millrace conn list --json | jq '.connections[] | select(.tcp.retransmits > 0)'\n";

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

/* ── connections as JSON ── */

/* Splits off the text before the next `end`; NULL behind the last. */
static char *part_next(char **rest, char end)
{
    char *part = *rest, *at = part == NULL ? NULL : strchr(part, end);
    if (at != NULL)
        *at = 0;
    *rest = at == NULL ? NULL : at + 1;
    return part;
}

/* A number, with its unit in the name ("rtt", "250us": rtt_us 250), or text. */
static void value_set(json_t *object, const char *name, const char *text)
{
    char full[64], *end;
    long long n = strtoll(text, &end, 10);
    if (end == text || (*end != 0 && strcmp(end, "us") != 0 && strcmp(end, "ms") != 0)) {
        json_object_set_new(object, name, json_string(text));
        return;
    }
    snprintf(full, sizeof full, *end == 0 ? "%s" : "%s_%s", name, end);
    json_object_set_new(object, full, json_integer(n));
}

/* "ESTABLISHED rtt=250us ..." */
static json_t *tcp_json(char *text)
{
    json_t *tcp = json_object();
    for (char *word; (word = part_next(&text, ' ')) != NULL;) {
        char *value = word, *name = part_next(&value, '=');
        if (value == NULL)
            json_object_set_new(tcp, "state", json_string(name));
        else
            value_set(tcp, name, value);
    }
    return tcp;
}

/* The lines of /conns, the first of which has the names. */
static void conns_json(char *body)
{
    char *names = part_next(&body, '\n');
    json_t *all = json_object(), *list = json_array();
    bool has_more = false;
    for (char *line; (line = part_next(&body, '\n')) != NULL && *line != 0;) {
        char names_left[256], *left = names_left, *name, *value;
        json_t *conn = json_object();
        snprintf(names_left, sizeof names_left, "%s", names);
        while ((name = part_next(&left, '\t')) != NULL &&
               (value = part_next(&line, '\t')) != NULL) {
            if (strcmp(name, "tcp") != 0)
                value_set(conn, name, value);
            else if (*value != 0)
                json_object_set_new(conn, name, tcp_json(value));
        }
        if (json_is_integer(json_object_get(conn, "id")))
            json_array_append(list, conn);
        else
            has_more = true; /* "more are open" */
        json_decref(conn);
    }
    json_object_set_new(all, "connections", list);
    json_object_set_new(all, "has_more", json_boolean(has_more));
    cli_json(all);
}

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
    if (http == 200 && cli->is_json)
        conns_json(body);
    else if (http == 200)
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
