/*
 * remote.h - what the commands that ask a Kafka broker share: the connection, and an error of its
 * answer in words.
 *
 * Owner: the process, which has one thread.
 */
#ifndef MILLRACE_REMOTE_H
#define MILLRACE_REMOTE_H

#include "cli.h"
#include "client.h"

/* Connects to the broker of --bootstrap-server; false: the reason was printed, nothing is open. */
nodiscard bool remote_connect(const struct cli *cli, struct client *c);
/* "what: the broker's sentence (NAME)", or, where it has none, what the code means and what to do.
 * Returns CLI_FAILED. */
int remote_failed(const struct cli *cli, const char *what, int16_t code, struct bytes message);

#endif
