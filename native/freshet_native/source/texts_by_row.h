#ifndef FRESHET_TEXTS_BY_ROW_H
#define FRESHET_TEXTS_BY_ROW_H

#include "python.h"

/* Texts one after the other, and where each begins; the last bound is the end. */
typedef struct {
    const int64_t *bounds;
    size_t num_bounds;
    const char *texts;
    size_t size;
} Table;

typedef struct {
    const char *bytes;
    size_t size;
} Text;

/* Takes the text of a row, and has it fetched; false: there is none. */
static inline bool take(const Table *table, int64_t row, Text *text) {
    if (row < 0 || (uint64_t)row + 1 >= table->num_bounds)
        return false;
    int64_t first = table->bounds[row], last = table->bounds[row + 1];
    if (first < 0 || first > last || (uint64_t)last > table->size)
        return false;
    text->bytes = table->texts + first;
    text->size = (size_t)(last - first);
    __builtin_prefetch(text->bytes);
    return true;
}

#endif
