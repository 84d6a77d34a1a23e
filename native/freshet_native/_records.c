/* Reads records that are plainly good into columns, and looks texts up by the thousand.
 *
 * Nothing here decides what a record means. Whatever is not plainly good, and every text
 * whose canonical form is not plain, is left to the caller, who reads it in Python: these
 * functions may be stricter than Python's, never laxer.
 */
#include "source/json.h"
#include "source/protobuf.h"

static PyMethodDef functions[] = {
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
