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

/* GET `path` ("/slow"). Returns the HTTP status and the body in *body, which the caller frees; -1:
 * no answer, *body is NULL. */
int admin_get(const char *admin, const char *path, int timeout_ms, char **body);
/* Says that nobody answers there; CLI_FAILED. */
int admin_failed(const struct cli *cli, const char *admin);

#endif
