#ifndef FRESHET_BYTES_H
#define FRESHET_BYTES_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "words are read as they lie in memory: little-endian machines only"
#endif

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
