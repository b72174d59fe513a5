/*
 * remote.c - the connection of a command to a Kafka broker, and what its errors mean. See remote.h.
 *
 * Owner: the process, which has one thread.
 */
#include "remote.h"

/* Codes that brokers send without a sentence, or with one that does not say what to do. Owner:
 * immutable. */
static const struct {
    int16_t code;
    const char *text;
} ADVICE[] = {
    {1, "the offset is not in this partition.\n"
        "  `millrace topic describe NAME` shows where its partitions begin and end."},
    {3, "there is no such topic or partition.\n"
        "  `millrace topic list` and `millrace topic describe NAME` show those there are."},
    {7, "the broker did not finish in time.\n  --timeout 1m waits longer."},
    {14, "the broker still loads its groups; try again."},
    {29, "this topic is not for this user."},
    {41, "this broker is not the controller; name the one that is with --bootstrap-server.\n"
         "  `millrace cluster` shows it."},
    {44, "a policy of the broker forbids it."},
    {56, "the broker cannot read or write its disk: its log says why."},
    {68, "it has members.\n"
         "  Stop its consumers first; `millrace group describe NAME` shows them."},
    {69, "there is no such group.\n  `millrace group list` shows those there are."},
};

bool remote_connect(const struct cli *cli, struct client *c)
{
    if (client_open(c, cli->bootstrap, cli->timeout_ms) == 0)
        return true;
    cli_fail(cli, "%s", c->why);
    client_close(c);
    return false;
}

int remote_failed(const struct cli *cli, const char *what, int16_t code, struct bytes message)
{
    char buffer[32];
    const char *name = kafka_error_name(code, buffer, sizeof buffer);
    if (message.n > 0)
        return cli_fail(cli, "%s: %.*s (%s)", what, (int)message.n, message.ptr, name);
    for (size_t i = 0; i < array_n(ADVICE); i++)
        if (ADVICE[i].code == code)
            return cli_fail(cli, "%s: %s (%s)", what, ADVICE[i].text, name);
    return cli_fail(cli, "%s: %s", what, name);
}
