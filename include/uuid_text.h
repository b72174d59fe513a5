/*
 * uuid_text.h - ids as people and Kafka's files see them: base64url without padding, 22 characters.
 *
 * Owner: immutable (pure functions). Source: Kafka Uuid.java.
 */
#ifndef MILLRACE_UUID_TEXT_H
#define MILLRACE_UUID_TEXT_H

#include "bytes.h"

enum { UUID_TEXT = 22, UUID_TEXT_MAX = UUID_TEXT + 1, UUID_HEX_MAX = 33 };

/* Writes 22 characters and a NUL. */
static inline void uuid_text(const struct uuid *id, char to[UUID_TEXT_MAX])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0, bits_n = 0, at = 0;
    for (uint32_t i = 0; i < sizeof id->b; i++) {
        bits = bits << 8 | id->b[i];
        for (bits_n += 8; bits_n >= 6; bits_n -= 6)
            to[at++] = digits[bits >> (bits_n - 6) & 63];
    }
    to[at++] = digits[bits << (6 - bits_n) & 63];
    to[at] = '\0';
}

/* The value of a base64url digit, -1 for any other character. */
static inline int uuid_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* False when `text` is not 22 digits. */
static inline bool uuid_from_text(struct bytes text, struct uuid *id)
{
    uint32_t bits = 0, bits_n = 0, at = 0;
    if (text.n != UUID_TEXT)
        return false;
    for (uint32_t i = 0; i < text.n; i++) {
        int digit = uuid_digit(text.ptr[i]);
        if (digit < 0)
            return false;
        bits = bits << 6 | (uint32_t)digit;
        bits_n += 6;
        if (bits_n >= 8 && at < sizeof id->b) {
            bits_n -= 8;
            id->b[at++] = (uint8_t)(bits >> bits_n);
        }
    }
    return true;
}

/* 32 lower-case hexadecimal digits and a NUL: the form in "-delete" and "-stray" names. */
static inline void uuid_hex(const struct uuid *id, char to[UUID_HEX_MAX])
{
    static const char digits[] = "0123456789abcdef";
    for (uint32_t i = 0; i < sizeof id->b; i++) {
        to[2 * i] = digits[id->b[i] >> 4];
        to[2 * i + 1] = digits[id->b[i] & 15];
    }
    to[2 * sizeof id->b] = '\0';
}

#endif
