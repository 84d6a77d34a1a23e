/* Finds the vectors that are nearest to one.
 *
 * Products of float32, or bounds of them by codes of 8 bits, say which may be among them: memory
 * bounds both. The cosines of those are summed in float64, in the order that NumPy sums a row in.
 * So answers are those of NumPy, bit for bit, on every machine.
 */
#include "source/codes.h"

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
static int by_rank(const void *one, const void *other) {
    const Found *first = one, *second = other;
    if (first->cosine != second->cosine) {
        if (isnan(first->cosine) || isnan(second->cosine))
            return isnan(first->cosine) - isnan(second->cosine);
        return first->cosine > second->cosine ? -1 : 1;
    }
    return (first->id > second->id) - (first->id < second->id);
}

/* Where vectors are searched: runs of rows, each from its first to before its last. */
typedef struct {
    Space space;
    Coded coded;        /* the rows; its codes are NULL: there are none */
    const int64_t *ids; /* NULL: rows are their own */
    const int64_t *firsts, *lasts;
    const char *hidden; /* whether an id is not found */
    size_t num_runs, total, num_hidden;
} Runs;

static int64_t id_of(const Runs *runs, size_t row) {
    return runs->ids == NULL ? (int64_t)row : runs->ids[row];
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
} Findings;

static bool add(const Runs *runs, size_t row, Findings *to) {
    if (to->count == to->room) {
        size_t room = 2 * to->room;
        Found *grown = realloc(to->found, room * sizeof *grown);
        if (grown == NULL)
            return false;
        to->found = grown;
        to->room = room;
    }
    const float *vector = runs->space.vectors + row * runs->space.dim;
    to->found[to->count++] =
        (Found){cosine(vector, runs->space.vector, runs->space.dim), id_of(runs, row)};
    return true;
}

/* Adds the rows that are not hidden and whose cosine is at least `cosine`, as the product is then
 * at least `least`. Returns whether there was memory for them. */
static bool add_near(const Runs *runs, const float *bounds, double cosine, float least,
                     Findings *to) {
    for (size_t run = 0; run < runs->num_runs; run++) {
        size_t last = (size_t)runs->lasts[run], count;
        for (size_t row = (size_t)runs->firsts[run]; row < last; row += count, bounds += count) {
            count = last - row < BLOCK_ROWS ? last - row : BLOCK_ROWS;
            if (!has_near(bounds, count, least))
                continue;
            for (size_t at = 0; at < count; at++) {
                if (!(bounds[at] >= least) || is_hidden(runs, row + at))
                    continue;
                if (!add(runs, row + at, to))
                    return false;
                to->count -= to->found[to->count - 1].cosine < cosine;
            }
        }
    }
    return true;
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
    for (size_t at = 0; at < k; at++) {
        if (best[at].bound == -INFINITY)
            continue;
        is_done = is_done && add(runs, best[at].row, to);
        bounds[best[at].place] = -INFINITY; /* it is found */
        double last = to->found[to->count - 1].cosine;
        least = last < least ? last : isnan(last) ? -INFINITY : least;
    }
    if (is_full)
        is_done = is_done && add_near(runs, bounds, least, (float)least - rounding, to);
    free(best);
    if (is_done && to->count > 1)
        qsort(to->found, to->count, sizeof *to->found, by_rank);
    return is_done;
}

static PyObject *best_of(const Findings *of, Py_ssize_t k) {
    Py_ssize_t count = (Py_ssize_t)of->count < k ? (Py_ssize_t)of->count : k;
    PyObject *ids = PyByteArray_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(int64_t));
    PyObject *cosines = PyByteArray_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(float));
    PyObject *result = ids && cosines ? PyTuple_Pack(2, ids, cosines) : NULL;
    for (Py_ssize_t place = 0; result != NULL && place < count; place++) {
        const Found *found = of->found + place;
        float rounded = (float)found->cosine;
        memcpy(PyByteArray_AsString(ids) + place * (Py_ssize_t)sizeof found->id, &found->id,
               sizeof found->id);
        memcpy(PyByteArray_AsString(cosines) + place * (Py_ssize_t)sizeof rounded, &rounded,
               sizeof rounded);
    }
    Py_XDECREF(ids);
    Py_XDECREF(cosines);
    return result;
}

/* Returns how many rows some runs have; -1: they are none of `count` rows. */
static Py_ssize_t total_of(const int64_t *firsts, const int64_t *lasts, Py_ssize_t num_runs,
                           Py_ssize_t count) {
    Py_ssize_t total = 0;
    for (Py_ssize_t run = 0; run < num_runs; run++) {
        if (firsts[run] < 0 || firsts[run] > lasts[run] || lasts[run] > count)
            return -1;
        total += (Py_ssize_t)(lasts[run] - firsts[run]);
    }
    return total;
}

/* What `nearest` is given, in its order. */
enum { VECTORS, CODES, IDS, FIRSTS, LASTS, HIDDEN, VECTOR, NUM_GIVEN };

/* Returns how many rows are searched; -1: what is given does not fit together. */
static Py_ssize_t check(const Py_buffer *given) {
    Py_ssize_t length = given[VECTOR].len, size = (Py_ssize_t)sizeof(float);
    if (length < size || length % size || given[VECTORS].len % length)
        return -1;
    Py_ssize_t rows = given[VECTORS].len / length, codes = given[CODES].len;
    if ((codes && codes != (Py_ssize_t)code_bytes((size_t)rows, (size_t)(length / size))) ||
        (given[IDS].len && given[IDS].len != rows * 8) ||
        given[FIRSTS].len % 8 || given[FIRSTS].len != given[LASTS].len)
        return -1;
    return total_of(given[FIRSTS].buf, given[LASTS].buf, given[FIRSTS].len / 8, rows);
}

static PyObject *nearest(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer given[NUM_GIVEN];
    Py_ssize_t k;
    float rounding;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*nf:nearest", &given[VECTORS], &given[CODES],
                          &given[IDS], &given[FIRSTS], &given[LASTS], &given[HIDDEN],
                          &given[VECTOR], &k, &rounding))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t total = check(given);
    if (total < 0 || total > UINT32_MAX || k < 1) {
        PyErr_SetString(PyExc_ValueError, "runs must be of rows that there are, and k at least 1");
    } else {
        size_t dim = (size_t)given[VECTOR].len / sizeof(float);
        size_t rows = (size_t)(given[VECTORS].len / given[VECTOR].len);
        Runs runs = {
            .space = {given[VECTORS].buf, given[VECTOR].buf, dim},
            .coded = given[CODES].len ? coded(given[CODES].buf, rows, dim) : (Coded){0},
            .ids = given[IDS].len ? given[IDS].buf : NULL,
            .firsts = given[FIRSTS].buf,
            .lasts = given[LASTS].buf,
            .hidden = given[HIDDEN].buf,
            .num_runs = (size_t)given[FIRSTS].len / 8,
            .total = (size_t)total,
            .num_hidden = (size_t)given[HIDDEN].len,
        };
        Findings near = {0};
        bool is_done = true;
        k = k < total ? k : total;
        Py_BEGIN_ALLOW_THREADS
        if (k > 0)
            is_done = find_near(&runs, (size_t)k, rounding, &near);
        Py_END_ALLOW_THREADS
        result = is_done ? best_of(&near, k) : PyErr_NoMemory();
        free(near.found);
    }
    for (int place = 0; place < NUM_GIVEN; place++)
        PyBuffer_Release(&given[place]);
    return result;
}

EACH_MACHINE static void encode(const float *vectors, size_t count, size_t dim, void *bytes) {
    int8_t *codes = bytes;
    float *scales = (float *)(codes + count * padded(dim)), *errors = scales + count;
    for (size_t row = 0; row < count; row++)
        encode_row(vectors + row * dim, dim, codes + row * padded(dim), scales + row, errors + row);
}

static PyObject *codes_of(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer vectors;
    Py_ssize_t dim;
    if (!PyArg_ParseTuple(args, "y*n:codes_of", &vectors, &dim))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t size = (Py_ssize_t)sizeof(float);
    if (dim < 1 || vectors.len % (dim * size)) {
        PyErr_SetString(PyExc_ValueError, "vectors must be float32 of this length");
    } else {
        Py_ssize_t count = vectors.len / (dim * size);
        result = PyByteArray_FromStringAndSize(
            NULL, (Py_ssize_t)code_bytes((size_t)count, (size_t)dim));
        void *codes = result == NULL ? NULL : PyByteArray_AsString(result);
        if (codes != NULL) {
            Py_BEGIN_ALLOW_THREADS
            encode(vectors.buf, (size_t)count, (size_t)dim, codes);
            Py_END_ALLOW_THREADS
        }
    }
    PyBuffer_Release(&vectors);
    return result;
}

static PyMethodDef functions[] = {
    {"nearest", nearest, METH_VARARGS,
     "nearest(vectors, codes, ids, firsts, lasts, hidden, vector, k, rounding): ids and cosines of "
     "the k best."},
    {"codes_of", codes_of, METH_VARARGS, "codes_of(vectors, dim): what nearest reads first."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot module_slots[] = {
    {0, NULL},
};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "freshet_native._vectors", "Products of vectors.", 0, functions,
    module_slots,          NULL,                      NULL,                   NULL,
};

PyMODINIT_FUNC PyInit__vectors(void) {
    return PyModuleDef_Init(&module);
}
