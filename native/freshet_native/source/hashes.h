#ifndef FRESHET_HASHES_H
#define FRESHET_HASHES_H

#include "blake2b.h"
#include "bytes.h"

/* SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012), under a secret seed. */

typedef struct {
    uint64_t first, second;
} Hash;

#define SIP_ROUND                                                                                  \
    v0 += v1;                                                                                      \
    v1 = rotated(v1, 51) ^ v0;                                                                     \
    v0 = rotated(v0, 32);                                                                          \
    v2 += v3;                                                                                      \
    v3 = rotated(v3, 48) ^ v2;                                                                     \
    v0 += v3;                                                                                      \
    v3 = rotated(v3, 43) ^ v0;                                                                     \
    v2 += v1;                                                                                      \
    v1 = rotated(v1, 47) ^ v2;                                                                     \
    v2 = rotated(v2, 32);

static Hash hash_of(const Hash *seed, const char *data, size_t size) {
    uint64_t v0 = 0x736f6d6570736575u ^ seed->first, v1 = 0x646f72616e646f6du ^ seed->second ^ 0xee;
    uint64_t v2 = 0x6c7967656e657261u ^ seed->first, v3 = 0x7465646279746573u ^ seed->second;
    uint64_t word;
    size_t place = 0;
    for (; place + 8 <= size; place += 8) {
        memcpy(&word, data + place, 8);
        v3 ^= word;
        SIP_ROUND SIP_ROUND v0 ^= word;
    }
    word = 0;
    for (size_t rest = place; rest < size; rest++)
        word |= (uint64_t)(unsigned char)data[rest] << (8 * (rest - place));
    word |= (uint64_t)size << 56;
    v3 ^= word;
    SIP_ROUND SIP_ROUND v0 ^= word;
    v2 ^= 0xee;
    SIP_ROUND SIP_ROUND SIP_ROUND SIP_ROUND Hash hash;
    hash.first = v0 ^ v1 ^ v2 ^ v3;
    v1 ^= 0xdd;
    SIP_ROUND SIP_ROUND SIP_ROUND SIP_ROUND hash.second = v0 ^ v1 ^ v2 ^ v3;
    hash.first |= hash.first == 0; /* 0 is a slot without a text */
    return hash;
}

#endif
