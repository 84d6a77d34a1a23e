/* Hits as the bytes that they have in a message of protobuf: id, title, score. */
#ifndef FRESHET_HITS_H
#define FRESHET_HITS_H

#include "texts_by_row.h"

typedef struct {
    Text id, title;
    float score;
} Hit;

/* Of the fields, each a byte: field number and wire type. */
typedef struct {
    char hit, id, title, score;
} Tags;

/* Has the bounds of a row fetched before they are looked at, if they are there. */
static inline void fetch_bounds(const Table *ids, const Table *titles, int64_t row) {
    __builtin_prefetch(ids->bounds + row);
    __builtin_prefetch(titles->bounds + row);
}

/* What is no number stays so. */
static inline float within_one(float score) {
    return score < -1 ? -1 : score > 1 ? 1 : score;
}

static inline size_t size_of_number(size_t number) {
    size_t size = 1;
    for (; number >= 0x80; number >>= 7)
        size++;
    return size;
}

static inline char *write_number(size_t number, char *to) {
    for (; number >= 0x80; number >>= 7)
        *to++ = (char)(number | 0x80);
    *to++ = (char)number;
    return to;
}

/* An id is written where it is empty, too, which no item's is. */
static inline size_t size_of_content(const Hit *hit) {
    enum { TAG = 1 };
    size_t size = TAG + size_of_number(hit->id.size) + hit->id.size + TAG + sizeof hit->score;
    if (hit->title.size)
        size += TAG + size_of_number(hit->title.size) + hit->title.size;
    return size;
}

static inline size_t size_of_hit(const Hit *hit) {
    size_t content = size_of_content(hit);
    return 1 + size_of_number(content) + content;
}

static inline char *write_text(char tag, Text text, char *to) {
    *to++ = tag;
    to = write_number(text.size, to);
    memcpy(to, text.bytes, text.size);
    return to + text.size;
}

static inline char *write_hit(const Hit *hit, const Tags *tags, char *to) {
    *to++ = tags->hit;
    to = write_number(size_of_content(hit), to);
    to = write_text(tags->id, hit->id, to);
    if (hit->title.size)
        to = write_text(tags->title, hit->title, to);
    *to++ = tags->score;
    memcpy(to, &hit->score, sizeof hit->score);
    return to + sizeof hit->score;
}

#endif
