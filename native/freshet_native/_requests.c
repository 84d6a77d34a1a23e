/* Requests of the plainest kind, for Python. */
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

static PyMethodDef functions[] = {
    {"plain_request", plain_request, METH_O,
     "plain_request(message): the query and k of a request that has no more, None of others."},
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
