/* Finds the vectors that are nearest to one.
 *
 * Products of float32, which memory bounds, say which may be among them; the cosines of those are
 * summed in float64, in the order that NumPy sums a row in. So answers are those of NumPy, bit for
 * bit, on every machine.
 */
#include "source/python.h"
#include <math.h>

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

/* Takes a product among the best, of which the least is the first of a heap. */
static void replace_least(float *best, size_t count, float product) {
    size_t at = 0;
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && best[child + 1] < best[child])
            child++;
        if (best[child] >= product)
            break;
        best[at] = best[child];
        at = child;
    }
    best[at] = product;
}

/* The product of two vectors in the order of NumPy's pairwise sum. Each term is exact. */
static double cosine(const float *one, const float *other, size_t dim) {
    enum { SUMS = 8, BLOCK = 128 };
    if (dim > BLOCK) {
        size_t half = dim / 2 - dim / 2 % SUMS;
        return cosine(one, other, half) + cosine(one + half, other + half, dim - half);
    }
    double sums[SUMS] = {0}, sum = 0;
    size_t at = 0;
    if (dim >= SUMS) {
        for (; at < dim - dim % SUMS; at++)
            sums[at % SUMS] += (double)one[at] * other[at];
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
    const int64_t *ids; /* NULL: rows are their own */
    const int64_t *firsts, *lasts;
    size_t num_runs, total;
} Runs;

/* Writes what may be among the `k` best: all whose float32 product is at most `rounding` below
 * that of the last of them. Returns how many, or -1: there is no memory. */
static Py_ssize_t find_near(const Runs *runs, size_t k, float rounding, Found **found) {
    float *products = malloc((runs->total + k) * sizeof *products);
    if (products == NULL)
        return -1;
    float *best = products + runs->total;
    for (size_t place = 0; place < k; place++)
        best[place] = -INFINITY;
    size_t at = 0, count = 0;
    for (size_t run = 0; run < runs->num_runs; run++) {
        size_t rows = (size_t)(runs->lasts[run] - runs->firsts[run]);
        multiply(&runs->space, (size_t)runs->firsts[run], rows, products + at);
        for (size_t end = at + rows; at < end; at++)
            if (products[at] > best[0])
                replace_least(best, k, products[at]);
    }
    float least = best[0] - rounding;
    for (at = 0; at < runs->total; at++)
        count += products[at] >= least;
    Found *next = *found = malloc((count + 1) * sizeof *next);
    at = 0;
    for (size_t run = 0; next != NULL && run < runs->num_runs; run++)
        for (int64_t row = runs->firsts[run]; row < runs->lasts[run]; row++)
            if (products[at++] >= least) {
                const float *vector = runs->space.vectors + (size_t)row * runs->space.dim;
                next->cosine = cosine(vector, runs->space.vector, runs->space.dim);
                next++->id = runs->ids == NULL ? row : runs->ids[row];
            }
    free(products);
    return *found == NULL ? -1 : (Py_ssize_t)count;
}

static PyObject *best_of(Found *found, Py_ssize_t count, Py_ssize_t k) {
    qsort(found, (size_t)count, sizeof *found, by_rank);
    if (count > k)
        count = k;
    PyObject *ids = PyByteArray_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(int64_t));
    PyObject *cosines = PyByteArray_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(float));
    PyObject *result = ids && cosines ? PyTuple_Pack(2, ids, cosines) : NULL;
    for (Py_ssize_t place = 0; result != NULL && place < count; place++) {
        float rounded = (float)found[place].cosine;
        memcpy(PyByteArray_AsString(ids) + place * (Py_ssize_t)sizeof found[place].id,
               &found[place].id, sizeof found[place].id);
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

static PyObject *nearest(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer vectors, ids, firsts, lasts, vector;
    Py_ssize_t k;
    float rounding;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*nf:nearest", &vectors, &ids, &firsts, &lasts, &vector,
                          &k, &rounding))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t size = (Py_ssize_t)sizeof(float), num_runs = firsts.len / 8, total = -1;
    if (vector.len >= size && vector.len % size == 0 && vectors.len % vector.len == 0 &&
        firsts.len % 8 == 0 && firsts.len == lasts.len &&
        (ids.len == 0 || ids.len / 8 == vectors.len / vector.len))
        total = total_of(firsts.buf, lasts.buf, num_runs, vectors.len / vector.len);
    if (total < 0 || k < 1 || k > total) {
        PyErr_SetString(PyExc_ValueError, "runs must be of rows that there are, at least k");
    } else {
        Runs runs = {{vectors.buf, vector.buf, (size_t)(vector.len / size)},
                     ids.len ? ids.buf : NULL, firsts.buf, lasts.buf, (size_t)num_runs,
                     (size_t)total};
        Found *found = NULL;
        Py_ssize_t count;
        Py_BEGIN_ALLOW_THREADS
        count = find_near(&runs, (size_t)k, rounding, &found);
        Py_END_ALLOW_THREADS
        result = count < 0 ? PyErr_NoMemory() : best_of(found, count, k);
        free(found);
    }
    PyBuffer_Release(&vectors);
    PyBuffer_Release(&ids);
    PyBuffer_Release(&firsts);
    PyBuffer_Release(&lasts);
    PyBuffer_Release(&vector);
    return result;
}

static PyMethodDef functions[] = {
    {"nearest", nearest, METH_VARARGS,
     "nearest(vectors, ids, firsts, lasts, vector, k, rounding): ids and cosines of the k best."},
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
