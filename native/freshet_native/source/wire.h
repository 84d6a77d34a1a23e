#ifndef FRESHET_WIRE_H
#define FRESHET_WIRE_H

#include "python.h"

/* The encoding of protocol buffers. Each reader returns false for what is not plainly good. */

enum { VARINT = 0, DELIMITED = 2 };

typedef struct {
    const unsigned char *at, *end;
} Wire;

static bool read_varint(Wire *wire, uint64_t *number) {
    *number = 0;
    for (int shift = 0; shift < 64 && wire->at < wire->end; shift += 7) {
        unsigned char byte = *wire->at++;
        if (shift == 63 && byte > 1)
            return false;
        *number |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool read_bytes(Wire *wire, Wire *found) {
    uint64_t size;
    if (!read_varint(wire, &size) || size > (uint64_t)(wire->end - wire->at))
        return false;
    *found = (Wire){wire->at, wire->at + size};
    wire->at += size;
    return true;
}

#endif
