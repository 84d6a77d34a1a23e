/* Hits of an answer as protobuf's bytes, for Python. */
#include "source/hits.h"

/* Takes the texts of items from a tuple of Python; false: it has none for one of them. */
static bool take_fresh(PyObject *texts, int64_t row, Text *text) {
    PyObject *found = PyTuple_GetItem(texts, (Py_ssize_t)row);
    Py_ssize_t size = 0;
    text->bytes = found == NULL ? NULL : PyUnicode_AsUTF8AndSize(found, &size);
    text->size = (size_t)size;
    return text->bytes != NULL;
}

typedef struct {
    Py_buffer rows, is_fresh, scores, id_bounds, ids, title_bounds, titles, tags;
    PyObject *fresh_ids, *fresh_titles;
} Given;

/* Takes the texts of all hits; false: an error is set. */
static bool take_texts(const Given *given, size_t count, Hit *hits) {
    Table ids = {given->id_bounds.buf, (size_t)given->id_bounds.len / 8, given->ids.buf,
                 (size_t)given->ids.len};
    Table titles = {given->title_bounds.buf, (size_t)given->title_bounds.len / 8,
                    given->titles.buf, (size_t)given->titles.len};
    const int64_t *rows = given->rows.buf;
    const char *is_fresh = given->is_fresh.buf;
    const float *scores = given->scores.buf;
    for (size_t at = 0; at < count; at++)
        if (!is_fresh[at])
            fetch_bounds(&ids, &titles, rows[at]);
    for (size_t at = 0; at < count; at++) {
        Hit *hit = hits + at;
        hit->score = within_one(scores[at]);
        bool is_there = is_fresh[at] ? take_fresh(given->fresh_ids, rows[at], &hit->id) &&
                                           take_fresh(given->fresh_titles, rows[at], &hit->title)
                                     : take(&ids, rows[at], &hit->id) &&
                                           take(&titles, rows[at], &hit->title);
        if (!is_there) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_IndexError, "there is no such item");
            return false;
        }
    }
    return true;
}

static PyObject *written(const Given *given, size_t count) {
    enum { FEW = 128 };
    Hit few[FEW], *hits = count <= FEW ? few : malloc(count * sizeof *hits);
    if (hits == NULL)
        return PyErr_NoMemory();
    PyObject *result = NULL;
    if (take_texts(given, count, hits)) {
        Tags tags;
        memcpy(&tags, given->tags.buf, sizeof tags);
        size_t size = 0;
        for (size_t at = 0; at < count; at++)
            size += size_of_hit(hits + at);
        result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)size);
        char *to = result == NULL ? NULL : PyBytes_AsString(result);
        for (size_t at = 0; to != NULL && at < count; at++)
            to = write_hit(hits + at, &tags, to);
    }
    if (hits != few)
        free(hits);
    return result;
}

static PyObject *hits_of(PyObject *Py_UNUSED(module), PyObject *args) {
    Given given;
    if (!PyArg_ParseTuple(args, "y*y*y*y*y*y*y*O!O!y*:hits_of", &given.rows, &given.is_fresh,
                          &given.scores, &given.id_bounds, &given.ids, &given.title_bounds,
                          &given.titles, &PyTuple_Type, &given.fresh_ids, &PyTuple_Type,
                          &given.fresh_titles, &given.tags))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t count = given.is_fresh.len;
    if (given.rows.len != count * 8 || given.scores.len != count * 4 ||
        given.id_bounds.len % 8 || given.title_bounds.len % 8 || given.tags.len != sizeof(Tags))
        PyErr_SetString(PyExc_ValueError, "a row, a flag and a score belong to each hit");
    else
        result = written(&given, (size_t)count);
    Py_buffer *buffers[] = {&given.rows, &given.is_fresh,     &given.scores, &given.id_bounds,
                            &given.ids,  &given.title_bounds, &given.titles, &given.tags};
    for (size_t place = 0; place < sizeof buffers / sizeof *buffers; place++)
        PyBuffer_Release(buffers[place]);
    return result;
}

static PyMethodDef functions[] = {
    {"hits_of", hits_of, METH_VARARGS,
     "hits_of(rows, is_fresh, scores, id_bounds, ids, title_bounds, titles, fresh_ids, "
     "fresh_titles, tags): hits as protobuf's bytes."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot module_slots[] = {
    {0, NULL},
};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "freshet_native._answers", "Answers as bytes.", 0, functions,
    module_slots,          NULL,                      NULL,                NULL,
};

PyMODINIT_FUNC PyInit__answers(void) {
    return PyModuleDef_Init(&module);
}
