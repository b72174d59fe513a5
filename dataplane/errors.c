/*
 * errors.c - errno to our errors, in one place.
 *
 * Owner: immutable.
 *
 * A negative number is taken as the kernel gives it in a completion (-EIO), so a result of io_uring
 * and an errno are translated by the same call. What is not listed is E_IO: the caller learns that
 * the operation failed, never that it succeeded.
 */
#include "errors.h"

#include <errno.h>

struct errno_row {
    int from, to;
};

int error_from_errno(int err)
{
    static const struct errno_row rows[] = {
        {0, E_OK},
        {ENOMEM, E_NO_MEMORY},
        {ENFILE, E_NO_MEMORY},
        {EMFILE, E_NO_MEMORY},
        {ENOBUFS, E_NO_MEMORY},
        {EAGAIN, E_AGAIN},
        {EINTR, E_AGAIN},
        {EINPROGRESS, E_AGAIN},
        {ENOENT, E_NOT_FOUND},
        {ENOTDIR, E_NOT_FOUND},
        {EEXIST, E_EXISTS},
        {ENOTEMPTY, E_EXISTS},
        {ENOSPC, E_DISK_FULL},
        {EDQUOT, E_DISK_FULL},
        {EFBIG, E_TOO_LARGE},
        {ENAMETOOLONG, E_TOO_LARGE},
        {EMSGSIZE, E_TOO_LARGE},
        {EIO, E_IO},
        {ECONNRESET, E_CLOSED},
        {EPIPE, E_CLOSED},
        {ENOTCONN, E_CLOSED},
        {ECANCELED, E_CLOSED},
        {ESHUTDOWN, E_CLOSED},
        {ECONNABORTED, E_CLOSED},
        {EADDRINUSE, E_IN_USE},
        {EBUSY, E_IN_USE},
        {EACCES, E_DENIED},
        {EPERM, E_DENIED},
        {EROFS, E_DENIED},
        {ENOSYS, E_UNSUPPORTED},
        {EOPNOTSUPP, E_UNSUPPORTED},
        {EAFNOSUPPORT, E_UNSUPPORTED},
        {EINVAL, E_INVALID},
        {EADDRNOTAVAIL, E_INVALID},
        {EISDIR, E_INVALID},
        {EBADF, E_INVALID},
        {ETIMEDOUT, E_TIMED_OUT},
        {ETIME, E_TIMED_OUT},
    };

    err = err < 0 ? -err : err;
    for (size_t i = 0; i < array_n(rows); i++)
        if (rows[i].from == err)
            return rows[i].to;
    return E_IO;
}
