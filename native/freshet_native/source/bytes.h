#ifndef FRESHET_BYTES_H
#define FRESHET_BYTES_H

#include "python.h"

/* Bytes that grow. */

typedef struct {
    char *data;
    size_t size, room;
} Bytes;

static bool reserve(Bytes *bytes, size_t more) {
    if (more <= bytes->room - bytes->size)
        return true;
    size_t room = bytes->size + more + bytes->room / 2 + 64;
    char *data = realloc(bytes->data, room);
    if (data == NULL) {
        PyErr_NoMemory();
        return false;
    }
    bytes->data = data;
    bytes->room = room;
    return true;
}

static bool put(Bytes *bytes, const void *data, size_t size) {
    if (!reserve(bytes, size))
        return false;
    if (size)
        memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return true;
}

static bool put_word(Bytes *bytes, int64_t word) {
    return put(bytes, &word, sizeof word);
}

static PyObject *as_bytearray(const Bytes *bytes) {
    return PyByteArray_FromStringAndSize(bytes->data ? bytes->data : "", (Py_ssize_t)bytes->size);
}

#endif
