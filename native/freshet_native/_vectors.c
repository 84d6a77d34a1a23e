/* The nearest of vectors, and sums of them, for Python. */
#include "source/scan.h"
#include "source/sums.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

/* Asks for large pages for memory that is written next, whole ones of it: a page at a time, the
 * system takes a quarter of the time in which the codes of a million vectors are made. */
static void use_large_pages(char *memory, size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t page = (uintptr_t)1 << 21;
    uintptr_t first = ((uintptr_t)memory + page - 1) & ~(page - 1);
    uintptr_t last = ((uintptr_t)memory + size) & ~(page - 1);
    if (first < last)
        (void)madvise((void *)first, last - first, MADV_HUGEPAGE); /* it may have none */
#else
    (void)memory;
    (void)size;
#endif
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

/* Vectors, and of each row that is searched which of them it is, its codes and its id, as Python
 * has them; of these there may be none. */
typedef struct {
    Py_buffer vectors, stored, codes, ids;
} Rows;

/* Returns how many rows there are; -1: what is given does not fit together. */
static Py_ssize_t num_rows(const Rows *rows, const Py_buffer *vector) {
    Py_ssize_t length = vector->len, size = (Py_ssize_t)sizeof(float);
    if (length < size || length % size || rows->vectors.len % length)
        return -1;
    Py_ssize_t count = rows->vectors.len / length, codes = rows->codes.len;
    if (rows->stored.len) {
        if (rows->stored.len % 8 || !codes)
            return -1;
        count = rows->stored.len / 8;
    }
    bool is_coded = codes == (Py_ssize_t)code_bytes((size_t)count, (size_t)(length / size));
    if ((codes && !is_coded) || (rows->ids.len && rows->ids.len != count * 8))
        return -1;
    return count;
}

static Runs runs_of(const Rows *rows, size_t count, const Py_buffer *vector,
                    const Py_buffer *hidden) {
    size_t dim = (size_t)vector->len / sizeof(float);
    return (Runs){
        .space = {rows->vectors.buf, vector->buf, dim},
        .coded = rows->codes.len ? coded(rows->codes.buf, count, dim) : (Coded){0},
        .stored = rows->stored.len ? rows->stored.buf : NULL,
        .num_vectors = (size_t)(rows->vectors.len / vector->len),
        .ids = rows->ids.len ? rows->ids.buf : NULL,
        .hidden = hidden->buf,
        .num_hidden = (size_t)hidden->len,
    };
}

/* Searches some runs of `count` rows, without Python's lock. Returns 1; 0: there is no memory; -1:
 * they are no such rows. */
static int search(Runs *runs, Py_ssize_t count, const int64_t *firsts, const int64_t *lasts,
                  Py_ssize_t num_runs, Py_ssize_t k, float rounding, Findings *near) {
    Py_ssize_t total = total_of(firsts, lasts, num_runs, count);
    if (total < 0 || total > UINT32_MAX)
        return -1;
    runs->firsts = firsts;
    runs->lasts = lasts;
    runs->num_runs = (size_t)num_runs;
    runs->total = (size_t)total;
    k = k < total ? k : total;
    int is_done = k == 0 || find_near(runs, (size_t)k, rounding, near);
    return near->is_wrong ? -1 : is_done;
}

/* Returns what was found, or raises why not. */
static PyObject *result_of(int is_done, Findings *near, Py_ssize_t k) {
    PyObject *result = NULL;
    if (is_done < 0)
        PyErr_SetString(PyExc_ValueError, "runs must be of rows that there are, and k at least 1");
    else
        result = is_done ? best_of(near, k) : PyErr_NoMemory();
    free(near->found);
    return result;
}

static PyObject *nearest(PyObject *Py_UNUSED(module), PyObject *args) {
    Rows rows;
    Py_buffer firsts, lasts, hidden, vector;
    Py_ssize_t k;
    float rounding;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*y*nf:nearest", &rows.vectors, &rows.stored,
                          &rows.codes, &rows.ids, &firsts, &lasts, &hidden, &vector, &k,
                          &rounding))
        return NULL;
    Findings near = {0};
    int is_done = -1;
    Py_ssize_t count = num_rows(&rows, &vector);
    if (count >= 0 && k > 0 && firsts.len % 8 == 0 && firsts.len == lasts.len) {
        Runs runs = runs_of(&rows, (size_t)count, &vector, &hidden);
        Py_BEGIN_ALLOW_THREADS
        is_done = search(&runs, count, firsts.buf, lasts.buf, firsts.len / 8, k, rounding, &near);
        Py_END_ALLOW_THREADS
    }
    PyObject *result = result_of(is_done, &near, k);
    Py_buffer *given[] = {&rows.vectors, &rows.stored, &rows.codes, &rows.ids,
                          &firsts,       &lasts,       &hidden,     &vector};
    for (size_t place = 0; place < sizeof given / sizeof *given; place++)
        PyBuffer_Release(given[place]);
    return result;
}

/* Searches the runs of rows that begin at the starts of the nearest cells; see `search`. */
static int search_cells(Runs *centres, Py_ssize_t num_centres, const int64_t *starts, Runs *runs,
                        Py_ssize_t count, Py_ssize_t cells, Py_ssize_t k, float rounding,
                        Findings *near) {
    const int64_t first = 0, last = num_centres;
    Findings nearest_cells = {0};
    int64_t *firsts = malloc(2 * (size_t)cells * sizeof *firsts);
    int is_done = firsts != NULL && search(centres, num_centres, &first, &last, 1, cells, rounding,
                                           &nearest_cells) > 0;
    if (is_done) {
        size_t found = nearest_cells.count;
        found = found < (size_t)cells ? found : (size_t)cells;
        for (size_t cell = 0; cell < found; cell++) {
            firsts[cell] = starts[nearest_cells.found[cell].id];
            firsts[found + cell] = starts[nearest_cells.found[cell].id + 1];
        }
        is_done = search(runs, count, firsts, firsts + found, (Py_ssize_t)found, k, rounding, near);
    }
    free(firsts);
    free(nearest_cells.found);
    return is_done;
}

static PyObject *nearest_in_cells(PyObject *Py_UNUSED(module), PyObject *args) {
    Rows centres = {0}, rows;
    Py_buffer starts, hidden, vector;
    Py_ssize_t cells, k;
    float rounding;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*y*y*nnf:nearest_in_cells", &centres.vectors,
                          &centres.codes, &starts, &rows.vectors, &rows.stored, &rows.codes,
                          &rows.ids, &hidden, &vector, &cells, &k, &rounding))
        return NULL;
    Findings near = {0};
    int is_done = -1;
    Py_ssize_t count = num_rows(&rows, &vector), num_centres = num_rows(&centres, &vector);
    if (count >= 0 && k > 0 && cells > 0 && cells <= num_centres &&
        starts.len == (num_centres + 1) * 8) {
        Runs of_centres = runs_of(&centres, (size_t)num_centres, &vector, &(Py_buffer){0});
        Runs runs = runs_of(&rows, (size_t)count, &vector, &hidden);
        Py_BEGIN_ALLOW_THREADS
        is_done = search_cells(&of_centres, num_centres, starts.buf, &runs, count, cells, k,
                               rounding, &near);
        Py_END_ALLOW_THREADS
    }
    PyObject *result = result_of(is_done, &near, k);
    Py_buffer *given[] = {&centres.vectors, &centres.codes, &starts, &rows.vectors, &rows.stored,
                          &rows.codes,      &rows.ids,      &hidden, &vector};
    for (size_t place = 0; place < sizeof given / sizeof *given; place++)
        PyBuffer_Release(given[place]);
    return result;
}

/* Writes the codes of some vectors, those that are `stored` in this order, or all. */
EACH_MACHINE static void encode(const float *vectors, const int64_t *stored, size_t count,
                                size_t dim, void *bytes) {
    enum { FETCHED = 16, LINE = 64 / sizeof(float) }; /* rows ahead, and floats */
    int8_t *codes = bytes;
    float *scales = (float *)(codes + count * padded(dim)), *errors = scales + count;
    for (size_t row = 0; row < count; row++) {
        size_t at = stored == NULL ? row : (size_t)stored[row];
        if (stored != NULL && row + FETCHED < count)
            for (size_t number = 0; number < dim; number += LINE)
                __builtin_prefetch(vectors + (size_t)stored[row + FETCHED] * dim + number);
        encode_row(vectors + at * dim, dim, codes + row * padded(dim), scales + row, errors + row);
    }
}

static bool are_below(const int64_t *numbers, Py_ssize_t count, Py_ssize_t limit) {
    for (Py_ssize_t at = 0; at < count; at++)
        if (numbers[at] < 0 || numbers[at] >= limit)
            return false;
    return true;
}

static PyObject *codes_of(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer vectors, stored;
    Py_ssize_t dim;
    if (!PyArg_ParseTuple(args, "y*y*n:codes_of", &vectors, &stored, &dim))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t size = (Py_ssize_t)sizeof(float);
    bool is_given = dim >= 1 && vectors.len % (dim * size) == 0 && stored.len % 8 == 0;
    Py_ssize_t num_vectors = is_given ? vectors.len / (dim * size) : 0;
    const int64_t *rows = stored.len ? stored.buf : NULL;
    Py_ssize_t count = rows == NULL ? num_vectors : stored.len / 8;
    if (!is_given || (rows != NULL && !are_below(rows, count, num_vectors))) {
        PyErr_SetString(PyExc_ValueError,
                        "vectors must be float32 of this length, and rows int64 of them");
    } else {
        result = PyByteArray_FromStringAndSize(
            NULL, (Py_ssize_t)code_bytes((size_t)count, (size_t)dim));
        char *codes = result == NULL ? NULL : PyByteArray_AsString(result);
        if (codes != NULL) {
            use_large_pages(codes, (size_t)PyByteArray_Size(result));
            Py_BEGIN_ALLOW_THREADS
            encode(vectors.buf, rows, (size_t)count, (size_t)dim, codes);
            Py_END_ALLOW_THREADS
        }
    }
    PyBuffer_Release(&vectors);
    PyBuffer_Release(&stored);
    return result;
}

/* Sees an array of rows of floats as a table. Returns their length; 0: it is none. */
static size_t table_of(const Py_buffer *array, Table *table) {
    if (array->ndim != 2 || array->itemsize != (Py_ssize_t)sizeof(float) ||
        array->strides[1] != (Py_ssize_t)sizeof(float))
        return 0;
    *table = (Table){array->buf, array->strides[0], array->shape[0]};
    return (size_t)array->shape[1];
}

static PyObject *add_products(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *to, *from;
    Py_buffer target = {0}, source = {0}, index, weight, place;
    if (!PyArg_ParseTuple(args, "Oy*y*Oy*:add_products", &to, &index, &weight, &from, &place))
        return NULL;
    PyObject *result = NULL;
    if (PyObject_GetBuffer(to, &target, PyBUF_STRIDES | PyBUF_WRITABLE) == 0 &&
        PyObject_GetBuffer(from, &source, PyBUF_STRIDES) == 0) {
        Table sums, rows;
        size_t dim = table_of(&target, &sums);
        Py_ssize_t count = index.len / 8;
        if (dim == 0 || table_of(&source, &rows) != dim || index.len % 8 ||
            place.len != index.len || weight.len != count * (Py_ssize_t)sizeof(float) ||
            !are_rows(index.buf, count, &sums) || !are_rows(place.buf, count, &rows)) {
            PyErr_SetString(PyExc_ValueError, "rows must be float32 of one length, and indexes int64 "
                                              "of rows that there are, as many as weights");
        } else {
            Py_BEGIN_ALLOW_THREADS
            add_weighted(&sums, index.buf, weight.buf, &rows, place.buf, count, dim);
            Py_END_ALLOW_THREADS
            result = Py_NewRef(Py_None);
        }
    }
    Py_buffer *given[] = {&target, &source, &index, &weight, &place};
    for (size_t number = 0; number < sizeof given / sizeof *given; number++)
        if (given[number]->obj != NULL)
            PyBuffer_Release(given[number]);
    return result;
}

/* Sees a sequence of pairs, rows and a weight for each of `count`, as terms, as many as `given`
 * has room for; their arrays are in `given`, two a term. Returns how many; -1: they are none. */
static Py_ssize_t terms_of(PyObject *pairs, Py_ssize_t count, size_t dim, Term *terms,
                           Py_buffer *given) {
    Py_ssize_t num_terms = PyTuple_Check(pairs) ? PyTuple_Size(pairs) : -1;
    if (num_terms < 1 || num_terms > MOST_TERMS)
        return -1;
    for (Py_ssize_t number = 0; number < num_terms; number++) {
        PyObject *from, *weight;
        Py_buffer *rows = given + 2 * number, *weights = rows + 1;
        PyObject *pair = PyTuple_GetItem(pairs, number);
        if (!PyTuple_Check(pair) || !PyArg_ParseTuple(pair, "OO", &from, &weight) ||
            PyObject_GetBuffer(from, rows, PyBUF_STRIDES) != 0 ||
            PyObject_GetBuffer(weight, weights, PyBUF_SIMPLE) != 0 ||
            table_of(rows, &terms[number].rows) != dim ||
            weights->len != count * (Py_ssize_t)sizeof(float))
            return -1;
        terms[number].weight = weights->buf;
    }
    return num_terms;
}

static PyObject *moves_of(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *from, *pairs, *result = NULL;
    Py_buffer before = {0}, index, given[2 * MOST_TERMS] = {{0}};
    if (!PyArg_ParseTuple(args, "Oy*O:moves_of", &from, &index, &pairs))
        return NULL;
    Table old = {0};
    Term terms[MOST_TERMS];
    Py_ssize_t count = index.len / 8, num_terms = -1;
    size_t dim = 0;
    if (PyObject_GetBuffer(from, &before, PyBUF_STRIDES) == 0)
        dim = table_of(&before, &old);
    if (dim > 0 && index.len % 8 == 0 && are_rows(index.buf, count, &old))
        num_terms = terms_of(pairs, count, dim, terms, given);
    for (Py_ssize_t number = 0; number < num_terms; number++)
        if (!are_rows(index.buf, count, &terms[number].rows))
            num_terms = -1;
    if (num_terms < 0) {
        PyErr_Clear();
        PyErr_SetString(PyExc_ValueError, "terms must be one to nine pairs of float32 rows of one "
                                          "length and as many weights as indexes, which are int64 "
                                          "of rows that there are");
    } else {
        PyObject *moved = PyByteArray_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(float));
        PyObject *length = PyByteArray_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(float));
        if (moved != NULL && length != NULL) {
            float *far = (float *)PyByteArray_AsString(moved);
            float *lengths = (float *)PyByteArray_AsString(length);
            Py_BEGIN_ALLOW_THREADS
            measure_moves(&old, terms, (size_t)num_terms, index.buf, count, dim, far, lengths);
            Py_END_ALLOW_THREADS
            result = PyTuple_Pack(2, moved, length);
        }
        Py_XDECREF(moved);
        Py_XDECREF(length);
    }
    for (size_t number = 0; number < sizeof given / sizeof *given; number++)
        if (given[number].obj != NULL)
            PyBuffer_Release(given + number);
    if (before.obj != NULL)
        PyBuffer_Release(&before);
    PyBuffer_Release(&index);
    return result;
}

static PyMethodDef functions[] = {
    {"nearest", nearest, METH_VARARGS,
     "nearest(vectors, stored, codes, ids, firsts, lasts, hidden, vector, k, rounding): ids and "
     "cosines of the k best."},
    {"nearest_in_cells", nearest_in_cells, METH_VARARGS,
     "nearest_in_cells(centres, centre_codes, starts, vectors, stored, codes, ids, hidden, vector, "
     "cells, k, rounding): the same of the runs of the nearest cells."},
    {"add_products", add_products, METH_VARARGS,
     "add_products(target, index, weight, source, place): adds weight[n] * source[place[n]] to "
     "target[index[n]]."},
    {"moves_of", moves_of, METH_VARARGS,
     "moves_of(before, index, ((rows, weight), ...)): how far the sum of weight[n] * "
     "rows[index[n]] is from before[index[n]], and how long it is."},
    {"codes_of", codes_of, METH_VARARGS,
     "codes_of(vectors, stored, dim): what nearest reads first."},
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
