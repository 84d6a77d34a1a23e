/* Reads records that are plainly good into columns, and looks texts up by the thousand.
 *
 * Nothing here decides what a record means. Whatever is not plainly good, and every text
 * whose canonical form is not plain, is left to the caller, who reads it in Python: these
 * functions may be stricter than Python's, never laxer.
 */
#include "source/json.h"
#include "source/protobuf.h"

static PyObject *cut(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer packed, starts;
    if (!PyArg_ParseTuple(args, "y*y*:cut", &packed, &starts))
        return NULL;
    const int64_t *at = starts.buf;
    Py_ssize_t count = starts.len / (Py_ssize_t)sizeof *at;
    PyObject *pieces = PyList_New(count);
    for (Py_ssize_t place = 0; pieces != NULL && place < count; place++) {
        int64_t end = place + 1 < count ? at[place + 1] : packed.len;
        PyObject *piece = NULL;
        if (at[place] < 0 || at[place] > end || end > packed.len)
            PyErr_SetString(PyExc_ValueError, "starts must be places in the bytes, ascending");
        else
            piece = PyBytes_FromStringAndSize((const char *)packed.buf + at[place],
                                              (Py_ssize_t)(end - at[place]));
        if (piece == NULL)
            Py_CLEAR(pieces);
        else
            PyList_SetItem(pieces, place, piece); /* takes it */
    }
    PyBuffer_Release(&packed);
    PyBuffer_Release(&starts);
    return pieces;
}

/* The first place from `low` on whose key is not below, where keys ascend: near, if most are. */
static size_t place_of(const uint64_t *ordered, size_t count, size_t low, uint64_t key) {
    size_t step = 1, high = low;
    while (high < count && ordered[high] < key) {
        low = high + 1;
        high += step;
        step *= 2;
    }
    if (high > count)
        high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ordered[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static PyObject *indexes_of(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer ordered, asked, found;
    if (!PyArg_ParseTuple(args, "y*y*w*:indexes_of", &ordered, &asked, &found))
        return NULL;
    PyObject *result = NULL;
    const uint64_t *keys = asked.buf, *all = ordered.buf;
    int64_t *places = found.buf;
    size_t count = (size_t)asked.len / 8, size = (size_t)ordered.len / 8, place = 0;
    if (asked.len % 8 || ordered.len % 8 || found.len != asked.len) {
        PyErr_SetString(PyExc_ValueError, "keys must be whole words, and have room beside them");
    } else {
        for (size_t row = 0; row < count; row++) {
            if (row && keys[row] < keys[row - 1])
                place = 0;
            place = place_of(all, size, place, keys[row]);
            places[row] = place < size && all[place] == keys[row] ? (int64_t)place : -1;
        }
        result = Py_None;
        Py_INCREF(result);
    }
    PyBuffer_Release(&ordered);
    PyBuffer_Release(&asked);
    PyBuffer_Release(&found);
    return result;
}

static PyObject *united(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer first, second;
    if (!PyArg_ParseTuple(args, "y*y*:united", &first, &second))
        return NULL;
    const uint64_t *one = first.buf, *other = second.buf;
    size_t num_first = (size_t)first.len / 8, num_second = (size_t)second.len / 8;
    size_t at = 0, beside = 0, count = 0;
    PyObject *result = NULL;
    uint64_t *keys = malloc((num_first + num_second + 1) * sizeof *keys);
    int64_t *places = malloc((num_first + num_second + 1) * sizeof *places);
    if (keys == NULL || places == NULL) {
        PyErr_NoMemory();
        goto done;
    }
    while (at < num_first || beside < num_second) {
        bool is_first = beside == num_second || (at < num_first && one[at] <= other[beside]);
        if (is_first && beside < num_second && one[at] == other[beside])
            beside++; /* the first one's counts */
        keys[count] = is_first ? one[at] : other[beside];
        places[count++] = (int64_t)(is_first ? at++ : num_first + beside++);
    }
    Py_ssize_t size = (Py_ssize_t)(count * 8);
    PyObject *all = PyByteArray_FromStringAndSize((const char *)keys, size);
    PyObject *from = PyByteArray_FromStringAndSize((const char *)places, size);
    result = all && from ? PyTuple_Pack(2, all, from) : NULL;
    Py_XDECREF(all);
    Py_XDECREF(from);
done:
    free(keys);
    free(places);
    PyBuffer_Release(&first);
    PyBuffer_Release(&second);
    return result;
}

static PyMethodDef functions[] = {
    {"united", united, METH_VARARGS,
     "united(first, second): all keys of two columns that ascend, and where each comes from."},
    {"indexes_of", indexes_of, METH_VARARGS,
     "indexes_of(ordered, asked, found): write where each key is among others; -1: it is not."},
    {"text_checks", text_checks, METH_VARARGS,
     "text_checks(texts, seed, checks): write 32 bits of each text's hash; return the others."},
    {"cut", cut, METH_VARARGS, "cut(packed, starts): the pieces that begin at places of bytes."},
    {"read_neutral", read_neutral, METH_VARARGS, "read_neutral(values, rows, actions)"},
    {"read_events", read_events, METH_VARARGS, "read_events(values, rows)"},
    {"read_batches", read_batches, METH_VARARGS, "read_batches(values, rows)"},
    {NULL, NULL, 0, NULL},
};

static int exec_module(PyObject *module) {
    TextColumn_Type = (PyTypeObject *)PyType_FromSpec(&column_spec);
    TextTable_Type = (PyTypeObject *)PyType_FromSpec(&table_spec);
    if (TextColumn_Type == NULL || TextTable_Type == NULL)
        return -1;
    return PyModule_AddType(module, TextColumn_Type) || PyModule_AddType(module, TextTable_Type)
               ? -1
               : 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, exec_module},
    {0, NULL},
};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "freshet_native._records", "Plain records to columns.", 0, functions,
    module_slots,          NULL,                      NULL,                        NULL,
};

PyMODINIT_FUNC PyInit__records(void) {
    return PyModuleDef_Init(&module);
}
