/* Requests of the plainest kind, and texts among those that are known, for Python. */
#include "source/lookup.h"
#include "source/wire.h"

enum { QUERY = 1 << 3 | DELIMITED, K = 2 << 3 | VARINT };

/* Whether a text is its own normal form for sure: small letters and digits of ASCII, in words with
 * one space between two. */
static bool is_normal(const Wire *text) {
    bool is_in_word = false;
    for (const unsigned char *at = text->at; at < text->end; at++) {
        unsigned char byte = *at;
        if ((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9'))
            is_in_word = true;
        else if (byte == ' ' && is_in_word)
            is_in_word = false;
        else
            return false;
    }
    return is_in_word;
}

/* Reads a request of a query and, perhaps, a number of items, each once. */
static bool read_plain(Wire wire, Wire *query, uint32_t *k) {
    uint64_t tag, number;
    unsigned seen = 0;
    *k = 0;
    while (wire.at < wire.end) {
        if (!read_varint(&wire, &tag) || (tag != QUERY && tag != K) || seen & 1u << (tag >> 3))
            return false;
        seen |= 1u << (tag >> 3);
        if (tag == QUERY) {
            if (!read_bytes(&wire, query))
                return false;
        } else {
            if (!read_varint(&wire, &number) || number > UINT32_MAX)
                return false;
            *k = (uint32_t)number;
        }
    }
    return seen & 1u << (QUERY >> 3) && is_normal(query);
}

static PyObject *plain_request(PyObject *Py_UNUSED(module), PyObject *message) {
    char *bytes;
    Py_ssize_t size;
    Wire query = {0};
    uint32_t k;
    if (PyBytes_AsStringAndSize(message, &bytes, &size) < 0)
        return NULL;
    const unsigned char *at = (const unsigned char *)bytes;
    if (!read_plain((Wire){at, at + size}, &query, &k))
        return Py_NewRef(Py_None);
    return Py_BuildValue("s#k", (const char *)query.at, (Py_ssize_t)(query.end - query.at),
                         (unsigned long)k);
}

static PyObject *row_of(PyObject *Py_UNUSED(module), PyObject *args) {
    Py_buffer keys, bounds, texts;
    PyObject *asked;
    if (!PyArg_ParseTuple(args, "y*y*y*U:row_of", &keys, &bounds, &texts, &asked))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t size = 0;
    const char *bytes = PyUnicode_AsUTF8AndSize(asked, &size);
    if (keys.len % 8 || bounds.len % 8)
        PyErr_SetString(PyExc_ValueError, "keys and bounds must be whole words");
    else if (bytes != NULL) {
        Table table = {bounds.buf, (size_t)bounds.len / 8, texts.buf, (size_t)texts.len};
        Text text = {bytes, (size_t)size};
        result = PyLong_FromLongLong(row_of_text(keys.buf, (size_t)keys.len / 8, &table, text));
    } else if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear(); /* no UTF-8: it is in no table */
        result = PyLong_FromLong(-1);
    }
    PyBuffer_Release(&keys);
    PyBuffer_Release(&bounds);
    PyBuffer_Release(&texts);
    return result;
}

static PyMethodDef functions[] = {
    {"plain_request", plain_request, METH_O,
     "plain_request(message): the query and k of a request that has no more, None of others."},
    {"row_of", row_of, METH_VARARGS,
     "row_of(keys, bounds, texts, text): where a text is among those of a table; -1: nowhere."},
    {NULL, NULL, 0, NULL},
};
static PyModuleDef_Slot module_slots[] = {
    {0, NULL},
};
static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "freshet_native._requests", "Requests of the plainest kind.", 0,
    functions,             module_slots,               NULL,                             NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__requests(void) {
    return PyModuleDef_Init(&module);
}
