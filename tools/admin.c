/*
 * admin.c - asking the admin listener of millraced over HTTP: one GET, one answer, the end.
 *
 * Owner: the process, which has one thread.
 */
#include "admin.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "parse.h"

enum { ADMIN_PORT_DEFAULT = 9644 };

/* "127.0.0.1" and "[::1]" have none. */
static bool has_port(const char *address)
{
    const char *bracket = strrchr(address, ']');
    return strchr(bracket == NULL ? address : bracket, ':') != NULL;
}

/* A socket, or an ADMIN_NO_... */
static int admin_connect(const char *admin, int timeout_ms)
{
    const char *name = admin;
    struct parse_address address;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    struct timeval timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    char port[8];
    int fd = ADMIN_NO_CONNECTION;
    if (!parse_next_address(&admin, &address))
        return ADMIN_NO_ADDRESS;
    snprintf(port, sizeof port, "%u", has_port(name) ? address.port : ADMIN_PORT_DEFAULT);
    if (getaddrinfo(address.host, port, &hints, &found) != 0)
        return ADMIN_NO_ADDRESS;
    for (struct addrinfo *at = found; at != NULL && fd < 0; at = at->ai_next) {
        fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            continue;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        if (connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
            close(fd);
            fd = ADMIN_NO_CONNECTION;
        }
    }
    freeaddrinfo(found);
    return fd;
}

/* Everything the other side says, to its end; the number of bytes, 0: nothing, or too much. */
static size_t admin_ask(int fd, const char *path, char *to, size_t to_n)
{
    char request[4096];
    size_t n = 0;
    int length =
        snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: millrace\r\n\r\n", path);
    if (length < 0 || (size_t)length >= sizeof request)
        return 0;
    ssize_t got = send(fd, request, (size_t)length, MSG_NOSIGNAL) == length ? 1 : -1;
    while (got > 0 && n < to_n - 1 && (got = recv(fd, to + n, to_n - 1 - n, 0)) > 0)
        n += (size_t)got;
    return got == 0 ? n : 0;
}

int admin_get(const char *admin, const char *path, int timeout_ms, char **body)
{
    size_t n;
    return admin_get_bytes(admin, path, timeout_ms, body, &n);
}

int admin_get_bytes(const char *admin, const char *path, int timeout_ms, char **body,
                    size_t *body_n)
{
    int fd = admin_connect(admin, timeout_ms), status = fd < 0 ? fd : ADMIN_NO_ANSWER;
    char *text = fd < 0 ? NULL : malloc(ADMIN_BYTES_MAX);
    *body = NULL;
    *body_n = 0;
    if (text != NULL) {
        size_t n = admin_ask(fd, path, text, ADMIN_BYTES_MAX);
        text[n] = 0;
        char *at = strstr(text, "\r\n\r\n");
        if (n > 12 && at != NULL && strncmp(text, "HTTP/1.", 7) == 0) {
            status = (int)strtol(text + 9, NULL, 10);
            *body_n = n - (size_t)(at + 4 - text);
            memmove(text, at + 4, *body_n + 1);
            if (status != 200 && *body_n > 0 && text[*body_n - 1] == '\n')
                text[--*body_n] = 0; /* a sentence, for cli_fail */
            *body = text;
            text = NULL;
        }
    }
    free(text);
    if (fd >= 0)
        close(fd);
    return status;
}

int admin_failed(const struct cli *cli, const char *admin, int status)
{
    static const char advice[] =
        "--admin HOST:PORT names the broker's admin.listeners; Apache Kafka has none.";
    if (status == ADMIN_NO_ADDRESS)
        return cli_fail(cli, "%s is no address of a host that is known.\n  %s", admin, advice);
    if (status == ADMIN_NO_CONNECTION)
        return cli_fail(cli, "nothing answers on %s; is the broker running?\n  %s", admin, advice);
    return cli_fail(cli, "%s does not answer as an admin listener.\n  %s", admin, advice);
}
