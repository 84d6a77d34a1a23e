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

static PyMethodDef functions[] = {
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
