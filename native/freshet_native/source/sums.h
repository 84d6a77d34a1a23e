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

enum { MOST_TERMS = 9 }; /* a text and the layers of a channel, eight at most (`model.num_layers`) */

/* Rows of a sum, each with a weight; a weight of 0 leaves a row out, whatever it has. */
typedef struct {
    Table rows;
    const float *weight;
} Term;

/* Measures of each of some rows how far the sum of its terms is from what was before, and how long
 * the sum is. */
EACH_MACHINE static void measure_moves(const Table *before, const Term *terms, size_t num_terms,
                                       const int64_t *rows, Py_ssize_t count, size_t dim,
                                       float *moved, float *length) {
    for (Py_ssize_t place = 0; place < count; place++) {
        if (place + SUMS_AHEAD < count) {
            int64_t next = rows[place + SUMS_AHEAD];
            for (size_t at = 0; at < dim; at += 16) {
                __builtin_prefetch(row_of(before, next) + at);
                for (size_t term = 0; term < num_terms; term++)
                    __builtin_prefetch(row_of(&terms[term].rows, next) + at);
            }
        }
        const float *old = row_of(before, rows[place]);
        const float *from[MOST_TERMS];
        float weight[MOST_TERMS];
        size_t counted = 0;
        for (size_t term = 0; term < num_terms; term++)
            if (terms[term].weight[place] != 0.0f) {
                from[counted] = row_of(&terms[term].rows, rows[place]);
                weight[counted++] = terms[term].weight[place];
            }
        Lanes far = {0}, squares = {0};
        float far_rest = 0.0f, rest = 0.0f;
        size_t at = 0;
        for (; at + LANES <= dim; at += LANES) {
            Lanes sum = {0};
            for (size_t term = 0; term < counted; term++)
                sum += weight[term] * *(const Lanes *)(from[term] + at);
            Lanes gap = sum - *(const Lanes *)(old + at);
            far += gap * gap;
            squares += sum * sum;
        }
        for (; at < dim; at++) {
            float sum = 0.0f;
            for (size_t term = 0; term < counted; term++)
                sum += weight[term] * from[term][at];
            far_rest += (sum - old[at]) * (sum - old[at]);
            rest += sum * sum;
        }
        for (size_t lane = 0; lane < LANES; lane++) {
            far_rest += far[lane];
            rest += squares[lane];
        }
        moved[place] = sqrtf(far_rest);
        length[place] = sqrtf(rest);
    }
}

#endif
