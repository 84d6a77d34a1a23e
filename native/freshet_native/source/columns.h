#ifndef FRESHET_COLUMNS_H
#define FRESHET_COLUMNS_H

#include "table.h"

/* Columns of events. */

typedef struct {
    int64_t ts_ms, action;
    Text session, user, query, item;
} Event;

typedef struct {
    Bytes ts_ms, action, row; /* int64, int64 and int32 */
    Texts session, user, query, item;
    Bytes session_index, query_index, item_index; /* int64 */
    PyObject *unread;
} Columns;

static bool open_columns(Columns *columns) {
    memset(columns, 0, sizeof *columns);
    columns->unread = PyList_New(0);
    return columns->unread != NULL;
}

static void free_columns(Columns *columns) {
    free(columns->ts_ms.data);
    free(columns->action.data);
    free(columns->row.data);
    free(columns->session_index.data);
    free(columns->query_index.data);
    free(columns->item_index.data);
    free_texts(&columns->session);
    free_texts(&columns->user);
    free_texts(&columns->query);
    free_texts(&columns->item);
    Py_CLEAR(columns->unread);
}

static bool put_event(Columns *columns, const Event *event, int32_t row) {
    return put_word(&columns->ts_ms, event->ts_ms) && put_word(&columns->action, event->action) &&
           put(&columns->row, &row, sizeof row) && put_text(&columns->session, event->session) &&
           put_text(&columns->user, event->user) && put_text(&columns->query, event->query) &&
           put_text(&columns->item, event->item);
}

/* Returns what is in columns as a tuple, and frees them. */
static PyObject *result_of(Columns *columns, bool has_indexes) {
    PyObject *parts[11] = {
        as_bytearray(&columns->ts_ms),    as_bytearray(&columns->action),
        as_bytearray(&columns->row),      new_column(&columns->session),
        new_column(&columns->user),       new_column(&columns->query),
        new_column(&columns->item),       columns->unread,
    };
    int count = 8;
    columns->unread = NULL;
    if (has_indexes) {
        parts[count++] = as_bytearray(&columns->session_index);
        parts[count++] = as_bytearray(&columns->query_index);
        parts[count++] = as_bytearray(&columns->item_index);
    }
    PyObject *result = PyTuple_New(count);
    for (int place = 0; place < count; place++) {
        if (result != NULL && parts[place] != NULL)
            PyTuple_SetItem(result, place, parts[place]); /* takes it */
        else {
            Py_XDECREF(parts[place]);
            Py_CLEAR(result);
        }
    }
    free_columns(columns);
    return result;
}

/* The bytes of each row in turn. */
typedef struct {
    PyObject *values, *rows;
    bool is_list;
    Py_ssize_t count, next;
} Rows;

static bool open_rows(PyObject *values, PyObject *rows, Rows *opened) {
    if (!PyList_Check(rows)) {
        PyErr_SetString(PyExc_TypeError, "rows must be a list");
        return false;
    }
    *opened = (Rows){values, rows, PyList_Check(values), PyList_Size(rows), 0};
    return true;
}

/* 1: there is a row; 0: that was the last; -1: an error. A value that is not bytes has no data. */
static int next_row(Rows *rows, PyObject **row, long *number, Text *value) {
    if (rows->next >= rows->count)
        return 0;
    *row = PyList_GetItem(rows->rows, rows->next++);
    if (*row == NULL)
        return -1;
    *number = PyLong_AsLong(*row);
    if (*number < 0 || *number > INT32_MAX) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_IndexError, "no such row");
        return -1;
    }
    PyObject *found = rows->is_list ? PyList_GetItem(rows->values, *number)
                                    : PySequence_GetItem(rows->values, *number);
    if (found == NULL)
        return -1;
    *value = (Text){NULL, 0};
    if (PyBytes_Check(found))
        *value = (Text){PyBytes_AsString(found), (size_t)PyBytes_Size(found)};
    if (!rows->is_list)
        Py_DECREF(found); /* the sequence keeps it */
    return 1;
}

#endif
