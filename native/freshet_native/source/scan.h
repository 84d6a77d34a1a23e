/* Finds the vectors that are nearest to one.
 *
 * Products of float32, or bounds of them by codes of 8 bits, say which may be among them: memory
 * bounds both. The cosines of those are summed in float64, in the order that NumPy sums a row in.
 * So answers are those of NumPy, bit for bit, on every machine.
 */
#ifndef FRESHET_SCAN_H
#define FRESHET_SCAN_H

#include "codes.h"

enum { LANES = 8, AHEAD = 16 }; /* numbers of a register, and rows that are fetched ahead */
typedef float Lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float))));

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#define EACH_MACHINE __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define EACH_MACHINE
#endif

typedef struct {
    const float *vectors, *vector;
    size_t dim;
} Space;

/* Writes the products of some rows with the vector. */
EACH_MACHINE static void multiply(const Space *space, size_t first, size_t count, float *products) {
    const float *row = space->vectors + first * space->dim;
    for (size_t place = 0; place < count; place++, row += space->dim) {
        Lanes sums = {0}, others = {0};
        size_t at = 0;
        for (; at + 2 * LANES <= space->dim; at += 2 * LANES) {
            __builtin_prefetch(row + AHEAD * space->dim + at);
            sums += *(const Lanes *)(row + at) * *(const Lanes *)(space->vector + at);
            others += *(const Lanes *)(row + at + LANES) *
                      *(const Lanes *)(space->vector + at + LANES);
        }
        sums += others;
        float product = 0;
        for (size_t lane = 0; lane < LANES; lane++)
            product += sums[lane];
        for (; at < space->dim; at++)
            product += row[at] * space->vector[at];
        products[place] = product;
    }
}

/* What the product of the vector with a row is at most. */
typedef struct {
    float bound;
    uint32_t place; /* of the row among those that are searched */
    size_t row;
} Near;

/* Takes a row among the best, of which the least is the first of a heap. */
static void replace_least(Near *best, size_t count, Near taken) {
    size_t at = 0;
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && best[child + 1].bound < best[child].bound)
            child++;
        if (best[child].bound >= taken.bound)
            break;
        best[at] = best[child];
        at = child;
    }
    best[at] = taken;
}

/* The product of two vectors in the order of NumPy's pairwise sum. Each term is exact. */
EACH_MACHINE static double cosine(const float *one, const float *other, size_t dim) {
    enum { SUMS = 8, BLOCK = 128 };
    if (dim > BLOCK) {
        size_t half = dim / 2 - dim / 2 % SUMS;
        return cosine(one, other, half) + cosine(one + half, other + half, dim - half);
    }
    double sums[SUMS] = {0}, sum = 0;
    size_t at = 0;
    if (dim >= SUMS) {
        for (; at + SUMS <= dim; at += SUMS)
            for (size_t lane = 0; lane < SUMS; lane++)
                sums[lane] += (double)one[at + lane] * other[at + lane];
        sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) +
              ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    }
    for (; at < dim; at++)
        sum += (double)one[at] * other[at];
    return sum;
}

typedef struct {
    double cosine;
    int64_t id;
} Found;

/* The best first, equal ones by id, what is no number last. */
static inline bool is_before(Found one, Found other) {
    if (one.cosine == other.cosine || (isnan(one.cosine) && isnan(other.cosine)))
        return one.id < other.id;
    return one.cosine > other.cosine || isnan(other.cosine);
}

/* Ranks what was found, with room for as much behind it: runs of a few by insertion, then merged.
 * The library's own sort calls for each comparison, and costs three times as much. */
static void rank(Found *found, size_t count, Found *room) {
    enum { FEW = 8 };
    for (size_t first = 0; first < count; first += FEW) {
        size_t last = first + FEW < count ? first + FEW : count;
        for (size_t next = first + 1; next < last; next++) {
            Found taken = found[next];
            size_t at = next;
            for (; at > first && is_before(taken, found[at - 1]); at--)
                found[at] = found[at - 1];
            found[at] = taken;
        }
    }
    Found *from = found, *to = room;
    for (size_t size = FEW; size < count; size *= 2) {
        for (size_t first = 0; first < count; first += 2 * size) {
            size_t half = first + size < count ? first + size : count;
            size_t last = half + size < count ? half + size : count, one = first, other = half;
            for (size_t at = first; at < last; at++) {
                bool is_other =
                    one == half || (other < last && is_before(from[other], from[one]));
                to[at] = from[is_other ? other++ : one++];
            }
        }
        Found *swapped = from;
        from = to;
        to = swapped;
    }
    if (from != found)
        memcpy(found, from, count * sizeof *found);
}

/* Where vectors are searched: runs of rows, each from its first to before its last. */
typedef struct {
    Space space;
    Coded coded;           /* the rows; its codes are NULL: there are none */
    const int64_t *stored; /* which vector each row is, where there are codes; NULL: its own */
    size_t num_vectors;
    const int64_t *ids; /* NULL: rows are their own */
    const int64_t *firsts, *lasts;
    const char *hidden; /* whether an id is not found */
    size_t num_runs, total, num_hidden;
} Runs;

static int64_t id_of(const Runs *runs, size_t row) {
    return runs->ids == NULL ? (int64_t)row : runs->ids[row];
}

/* Returns a row's vector; NULL: there is no such one. */
static const float *vector_of(const Runs *runs, size_t row) {
    size_t at = runs->stored == NULL ? row : (size_t)runs->stored[row];
    return at < runs->num_vectors ? runs->space.vectors + at * runs->space.dim : NULL;
}

static bool is_hidden(const Runs *runs, size_t row) {
    if (runs->num_hidden == 0)
        return false;
    uint64_t id = (uint64_t)id_of(runs, row);
    return id < runs->num_hidden && runs->hidden[id];
}

enum { BLOCK_ROWS = 32 }; /* that are looked at together */

/* Whether one of some bounds is at least `least`. */
EACH_MACHINE static bool has_near(const float *bounds, size_t count, float least) {
    int found = 0;
    for (size_t at = 0; at < count; at++)
        found |= bounds[at] >= least;
    return found;
}

/* Writes what the products of all rows are at most, and the `k` best of those that are not hidden;
 * where they are fewer, the others are -INFINITY. */
static void find_best(const Runs *runs, const Levels *levels, size_t k, float *bounds,
                      Near *best) {
    size_t place = 0;
    for (size_t at = 0; at < k; at++)
        best[at] = (Near){.bound = -INFINITY};
    for (size_t run = 0; run < runs->num_runs; run++) {
        size_t last = (size_t)runs->lasts[run];
        if (run + 1 < runs->num_runs && runs->coded.codes != NULL)
            fetch(&runs->coded, (size_t)runs->firsts[run + 1]);
        for (size_t row = (size_t)runs->firsts[run]; row < last; row += BLOCK_ROWS) {
            size_t count = last - row < BLOCK_ROWS ? last - row : BLOCK_ROWS;
            if (runs->coded.codes == NULL)
                multiply(&runs->space, row, count, bounds + place);
            else
                bound(&runs->coded, row, count, levels, bounds + place);
            if (!has_near(bounds + place, count, best[0].bound)) {
                place += count;
                continue;
            }
            for (size_t at = 0; at < count; at++, place++)
                if (bounds[place] > best[0].bound && !is_hidden(runs, row + at))
                    replace_least(best, k, (Near){bounds[place], (uint32_t)place, row + at});
        }
    }
}

/* Rows that were found, and room for more. */
typedef struct {
    Found *found;
    size_t count, room;
    bool is_wrong; /* a row has no vector */
} Findings;

/* Adds a row with its cosine. Returns whether there is memory for it. */
static bool add(const Runs *runs, size_t row, Findings *to) {
    if (to->count == to->room) {
        size_t room = 2 * to->room;
        Found *grown = realloc(to->found, room * sizeof *grown);
        if (grown == NULL)
            return false;
        to->found = grown;
        to->room = room;
    }
    const float *vector = vector_of(runs, row);
    to->is_wrong |= vector == NULL;
    double product = vector == NULL ? NAN : cosine(vector, runs->space.vector, runs->space.dim);
    to->found[to->count++] = (Found){product, id_of(runs, row)};
    return true;
}

enum { TOGETHER = 16 }; /* rows that are fetched, then added */

/* Has the vectors and ids of some rows fetched, which lie anywhere. */
static void fetch_vectors(const Runs *runs, const size_t *rows, size_t count) {
    enum { LINE = 64 / sizeof(float) }; /* floats */
    for (size_t at = 0; at < count; at++) {
        const float *vector = vector_of(runs, rows[at]);
        for (size_t number = 0; vector != NULL && number < runs->space.dim; number += LINE)
            __builtin_prefetch(vector + number);
        if (runs->ids != NULL)
            __builtin_prefetch(runs->ids + rows[at]);
    }
}

/* Adds some rows whose cosine is at least `least`. Returns whether there was memory for them. */
static bool add_all(const Runs *runs, const size_t *rows, size_t count, double least,
                    Findings *to) {
    fetch_vectors(runs, rows, count);
    for (size_t at = 0; at < count; at++) {
        if (!add(runs, rows[at], to))
            return false;
        to->count -= to->found[to->count - 1].cosine < least;
    }
    return true;
}

/* Adds the rows that are not hidden and whose cosine is at least `least`, as the bound is then at
 * least `bound`. Returns whether there was memory for them. */
static bool add_near(const Runs *runs, const float *bounds, double least, float bound,
                     Findings *to) {
    size_t rows[TOGETHER + BLOCK_ROWS], waiting = 0;
    for (size_t run = 0; run < runs->num_runs; run++) {
        size_t last = (size_t)runs->lasts[run], count;
        for (size_t row = (size_t)runs->firsts[run]; row < last; row += count, bounds += count) {
            count = last - row < BLOCK_ROWS ? last - row : BLOCK_ROWS;
            if (!has_near(bounds, count, bound))
                continue;
            for (size_t at = 0; at < count; at++)
                if (bounds[at] >= bound && !is_hidden(runs, row + at))
                    rows[waiting++] = row + at;
            if (waiting < TOGETHER)
                continue;
            if (!add_all(runs, rows, waiting, least, to))
                return false;
            waiting = 0;
        }
    }
    return add_all(runs, rows, waiting, least, to);
}

/* Has those of the best fetched that are behind some. */
static void fetch_best(const Runs *runs, const Near *best, size_t first, size_t k) {
    size_t rows[TOGETHER], count = 0;
    for (; count < TOGETHER && first + count < k; count++)
        rows[count] = best[first + count].row;
    fetch_vectors(runs, rows, count);
}

/* Finds what may be among the `k` best, and ranks it: those whose bounds are, and what may be
 * better than the last of them is. Returns whether there was memory. */
static bool find_near(const Runs *runs, size_t k, float rounding, Findings *to) {
    size_t dim = runs->space.dim;
    to->room = 2 * k + BLOCK_ROWS;
    to->found = malloc(to->room * sizeof *to->found);
    Near *best = malloc(k * sizeof *best + runs->total * sizeof(float) +
                        padded(dim) * sizeof(int16_t));
    if (to->found == NULL || best == NULL) {
        free(best);
        return false;
    }
    float *bounds = (float *)(best + k);
    Levels levels = levels_of(runs->space.vector, dim, (int16_t *)(bounds + runs->total));
    find_best(runs, &levels, k, bounds, best);
    bool is_done = true, is_full = best[0].bound > -INFINITY;
    double least = INFINITY;
    fetch_best(runs, best, 0, k);
    for (size_t at = 0; at < k; at++) {
        if (at % TOGETHER == 0)
            fetch_best(runs, best, at + TOGETHER, k);
        if (best[at].bound == -INFINITY)
            continue;
        is_done = is_done && add(runs, best[at].row, to);
        bounds[best[at].place] = -INFINITY; /* it is found */
        double last = to->count > 0 ? to->found[to->count - 1].cosine : least;
        least = isnan(last) ? -INFINITY : last < least ? last : least;
    }
    if (is_full)
        is_done = is_done && add_near(runs, bounds, least, (float)least - rounding, to);
    free(best);
    Found *room = is_done ? malloc((to->count + 1) * sizeof *room) : NULL;
    if (room != NULL)
        rank(to->found, to->count, room);
    free(room);
    return room != NULL;
}

#endif
