#ifndef FRESHET_TEXTS_H
#define FRESHET_TEXTS_H

#include "bytes.h"

/* Texts in UTF-8. */

typedef struct {
    const char *data;
    size_t size;
} Text;

static bool is_ascii(const char *data, size_t size) {
    size_t place = 0;
    for (; place + 8 <= size; place += 8) {
        uint64_t word;
        memcpy(&word, data + place, 8);
        if (word & 0x8080808080808080u)
            return false;
    }
    for (; place < size; place++)
        if ((unsigned char)data[place] & 0x80)
            return false;
    return true;
}

/* As Python's strict decoder: no surrogates, no overlong forms, nothing above U+10FFFF. */
static bool is_utf8(const char *data, size_t size) {
    const unsigned char *at = (const unsigned char *)data, *end = at + size;
    while (at < end) {
        unsigned char first = *at;
        if (first < 0x80) {
            at++;
        } else if (first < 0xC2) {
            return false;
        } else if (first < 0xE0) {
            if (end - at < 2 || (at[1] & 0xC0) != 0x80)
                return false;
            at += 2;
        } else if (first < 0xF0) {
            if (end - at < 3 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80)
                return false;
            if ((first == 0xE0 && at[1] < 0xA0) || (first == 0xED && at[1] >= 0xA0))
                return false;
            at += 3;
        } else if (first < 0xF5) {
            if (end - at < 4 || (at[1] & 0xC0) != 0x80 || (at[2] & 0xC0) != 0x80 ||
                (at[3] & 0xC0) != 0x80)
                return false;
            if ((first == 0xF0 && at[1] < 0x90) || (first == 0xF4 && at[1] >= 0x90))
                return false;
            at += 4;
        } else {
            return false;
        }
    }
    return true;
}

#endif
