/* Sums of rows into rows that are named more than once. */
#ifndef FRESHET_SUMS_H
#define FRESHET_SUMS_H

#include "scan.h"

enum { SUMS_AHEAD = 4 }; /* that are fetched before their turn: a row is 8 lines of the cache */

/* Rows of floats, so many bytes apart. */
typedef struct {
    char *first;
    Py_ssize_t apart, count;
} Table;

static inline float *row_of(const Table *table, int64_t row) {
    return (float *)(table->first + row * table->apart);
}

/* Whether all of some numbers are of rows that there are. */
static bool are_rows(const int64_t *numbers, Py_ssize_t count, const Table *table) {
    for (Py_ssize_t place = 0; place < count; place++)
        if (numbers[place] < 0 || numbers[place] >= table->count)
            return false;
    return true;
}

/* Adds ``weight[n] * source[from[n]]`` to ``target[to[n]]``, one after the other. */
EACH_MACHINE static void add_weighted(const Table *target, const int64_t *to, const float *weight,
                                      const Table *source, const int64_t *from, Py_ssize_t count,
                                      size_t dim) {
    for (Py_ssize_t place = 0; place < count; place++) {
        if (place + SUMS_AHEAD < count) {
            const float *next = row_of(source, from[place + SUMS_AHEAD]);
            const float *sum = row_of(target, to[place + SUMS_AHEAD]);
            for (size_t at = 0; at < dim; at += 16) {
                __builtin_prefetch(next + at);
                __builtin_prefetch(sum + at, 1);
            }
        }
        float *sums = row_of(target, to[place]), each = weight[place];
        const float *row = row_of(source, from[place]);
        size_t at = 0;
        for (; at + LANES <= dim; at += LANES)
            *(Lanes *)(sums + at) += each * *(const Lanes *)(row + at);
        for (; at < dim; at++)
            sums[at] += each * row[at];
    }
}

#endif
