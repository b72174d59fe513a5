/*
 * admin.h - asking the admin listener of millraced over HTTP.
 *
 * Owner: the process, which has one thread.
 */
#ifndef MILLRACE_ADMIN_H
#define MILLRACE_ADMIN_H

#include "cli.h"

#define ADMIN_DEFAULT "127.0.0.1:9644"
enum { ADMIN_BYTES_MAX = 4 << 20 };
enum { ADMIN_NO_CONNECTION = -1, ADMIN_NO_ANSWER = -2, ADMIN_NO_ADDRESS = -3 };

/* GET `path` ("/slow") of HOST[:PORT]. Returns the HTTP status and the body in *body, which the
 * caller frees; below 0, an ADMIN_NO_...: no answer, *body is NULL. */
int admin_get(const char *admin, const char *path, int timeout_ms, char **body);
/* The same for an answer that is not text: *n bytes. */
int admin_get_bytes(const char *admin, const char *path, int timeout_ms, char **body, size_t *n);
/* Says why there is no answer (status: what admin_get returned) and what to do; CLI_FAILED. */
int admin_failed(const struct cli *cli, const char *admin, int status);

#endif
