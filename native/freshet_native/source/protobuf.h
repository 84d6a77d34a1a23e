#ifndef FRESHET_PROTOBUF_H
#define FRESHET_PROTOBUF_H

#include "columns.h"
#include "wire.h"

/* Events as protocol buffers. Each reader returns false for what is not plainly good. */

static bool read_string(Wire *wire, Text *text) {
    Wire found;
    if (!read_bytes(wire, &found))
        return false;
    *text = (Text){(const char *)found.at, (size_t)(found.end - found.at)};
    return is_ascii(text->data, text->size) || is_utf8(text->data, text->size);
}

static bool read_message(Wire wire, Event *event) {
    Text none = {"", 0};
    Text *texts[] = {&event->session, &event->user, &event->query, &event->item};
    uint64_t tag, number;
    unsigned seen = 0;
    *event = (Event){0, 0, none, none, none, none};
    while (wire.at < wire.end) {
        if (!read_varint(&wire, &tag) || tag >= 7 << 3 || seen & 1u << (tag >> 3))
            return false; /* a field of another version, or one twice */
        unsigned field = (unsigned)tag >> 3;
        seen |= 1u << field;
        if (field >= 2 && field <= 5) {
            if ((tag & 7) != DELIMITED || !read_string(&wire, texts[field - 2]))
                return false;
        } else {
            if (field == 0 || (tag & 7) != VARINT || !read_varint(&wire, &number))
                return false;
            if (field == 1)
                event->ts_ms = (int64_t)number;
            else if (number <= INT8_MAX)
                event->action = (int64_t)number;
            else
                return false;
        }
    }
    return true;
}

static PyObject *read_events(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *values, *listed, *row;
    Rows rows;
    Columns columns;
    long number;
    int more;
    Text value;
    Event event;
    if (!PyArg_ParseTuple(args, "OO:read_events", &values, &listed) ||
        !open_rows(values, listed, &rows) || !open_columns(&columns))
        return NULL;
    while ((more = next_row(&rows, &row, &number, &value)) == 1) {
        const unsigned char *data = (const unsigned char *)value.data;
        bool is_read = data != NULL && read_message((Wire){data, data + value.size}, &event);
        if (is_read ? !put_event(&columns, &event, (int32_t)number)
                    : PyList_Append(columns.unread, row) < 0) {
            more = -1;
            break;
        }
    }
    if (more == 0)
        return result_of(&columns, false);
    free_columns(&columns);
    return NULL;
}

/* The tables and columns of one batch. Of `numbers` each is an int64. */
typedef struct {
    Bytes texts[4];      /* Text, of fields 1 to 4 */
    Bytes numbers[5];    /* of fields 6 to 10 */
    int64_t base_ts_ms;
} Batch;

enum { SESSION_IDS, USER_IDS, QUERIES, ITEM_IDS };
enum { OFFSETS, SESSIONS, QUERY_NUMBERS, ITEMS, ACTIONS };

static bool read_numbers(Wire *wire, int column, Bytes *numbers) {
    Wire packed;
    uint64_t number;
    if (!read_bytes(wire, &packed))
        return false;
    while (packed.at < packed.end) {
        if (!read_varint(&packed, &number))
            return false;
        if (column == OFFSETS)
            number = (number >> 1) ^ (~(number & 1) + 1);
        else if (number > (column == ACTIONS ? (uint64_t)INT8_MAX : (uint64_t)INT32_MAX))
            return false;
        if (!put_word(numbers, (int64_t)number))
            return false;
    }
    return true;
}

/* Returns false also where memory is short; an error is then set. */
static bool read_batch(Wire wire, Batch *batch) {
    uint64_t tag, number;
    Text text;
    for (int place = 0; place < 4; place++)
        batch->texts[place].size = 0;
    for (int place = 0; place < 5; place++)
        batch->numbers[place].size = 0;
    batch->base_ts_ms = 0;
    while (wire.at < wire.end) {
        if (!read_varint(&wire, &tag) || tag >= 11 << 3)
            return false;
        unsigned field = (unsigned)tag >> 3;
        if (field == 5) {
            if ((tag & 7) != VARINT || !read_varint(&wire, &number))
                return false;
            batch->base_ts_ms = (int64_t)number;
        } else if (field == 0 || (tag & 7) != DELIMITED) {
            return false;
        } else if (field <= 4) {
            if (!read_string(&wire, &text) || !put(&batch->texts[field - 1], &text, sizeof text))
                return false;
        } else if (!read_numbers(&wire, (int)field - 6, &batch->numbers[field - 6])) {
            return false;
        }
    }
    return true;
}

static size_t table_size(const Batch *batch, int table) {
    return batch->texts[table].size / sizeof(Text);
}

static bool is_below(const Bytes *numbers, size_t bound) {
    const int64_t *found = (const int64_t *)numbers->data;
    for (size_t row = 0; row < numbers->size / sizeof *found; row++)
        if ((size_t)found[row] >= bound)
            return false;
    return true;
}

/* Whether there are events, and the columns fit each other and the tables. */
static bool is_sound(const Batch *batch) {
    size_t size = batch->numbers[ACTIONS].size, sessions = table_size(batch, SESSION_IDS);
    for (int column = 0; column < 5; column++)
        if (batch->numbers[column].size != size)
            return false;
    size_t users = table_size(batch, USER_IDS);
    return size && (users == 0 || users == sessions) &&
           is_below(&batch->numbers[SESSIONS], sessions) &&
           is_below(&batch->numbers[QUERY_NUMBERS], table_size(batch, QUERIES) + 1) &&
           is_below(&batch->numbers[ITEMS], table_size(batch, ITEM_IDS));
}

static bool put_table(Texts *texts, const Bytes *table) {
    const Text *found = (const Text *)table->data;
    for (size_t row = 0; row < table->size / sizeof *found; row++)
        if (!put_text(texts, found[row]))
            return false;
    return true;
}

static bool put_index(Bytes *index, const Bytes *numbers, size_t start) {
    const int64_t *found = (const int64_t *)numbers->data;
    if (!reserve(index, numbers->size))
        return false;
    for (size_t row = 0; row < numbers->size / sizeof *found; row++)
        put_word(index, found[row] + (int64_t)start);
    return true;
}

static bool put_batch(Columns *columns, const Batch *batch, int32_t row) {
    Text none = {"", 0};
    size_t session = num_texts(&columns->session), query = num_texts(&columns->query);
    size_t item = num_texts(&columns->item), count = batch->numbers[ACTIONS].size / 8;
    const int64_t *offsets = (const int64_t *)batch->numbers[OFFSETS].data;
    for (size_t place = 0; place < count; place++) {
        int64_t ts_ms;
        if (__builtin_add_overflow(batch->base_ts_ms, offsets[place], &ts_ms))
            ts_ms = 0;
        if (!put_word(&columns->ts_ms, ts_ms) || !put(&columns->row, &row, sizeof row))
            return false;
    }
    const Bytes *actions = &batch->numbers[ACTIONS];
    if (!put(&columns->action, actions->data, actions->size) ||
        !put_index(&columns->session_index, &batch->numbers[SESSIONS], session) ||
        !put_index(&columns->query_index, &batch->numbers[QUERY_NUMBERS], query) ||
        !put_index(&columns->item_index, &batch->numbers[ITEMS], item) ||
        !put_table(&columns->session, &batch->texts[SESSION_IDS]) ||
        !put_text(&columns->query, none) || !put_table(&columns->query, &batch->texts[QUERIES]) ||
        !put_table(&columns->item, &batch->texts[ITEM_IDS]))
        return false;
    if (table_size(batch, USER_IDS))
        return put_table(&columns->user, &batch->texts[USER_IDS]);
    for (size_t place = 0; place < table_size(batch, SESSION_IDS); place++)
        if (!put_text(&columns->user, none))
            return false;
    return true;
}

static PyObject *read_batches(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *values, *listed, *row;
    Rows rows;
    Columns columns;
    Batch batch;
    long number;
    int more;
    Text value;
    memset(&batch, 0, sizeof batch);
    if (!PyArg_ParseTuple(args, "OO:read_batches", &values, &listed) ||
        !open_rows(values, listed, &rows) || !open_columns(&columns))
        return NULL;
    while ((more = next_row(&rows, &row, &number, &value)) == 1) {
        const unsigned char *data = (const unsigned char *)value.data;
        bool is_read = data != NULL && read_batch((Wire){data, data + value.size}, &batch) &&
                       is_sound(&batch);
        if (PyErr_Occurred() || (is_read ? !put_batch(&columns, &batch, (int32_t)number)
                                         : PyList_Append(columns.unread, row) < 0)) {
            more = -1;
            break;
        }
    }
    for (int place = 0; place < 4; place++)
        free(batch.texts[place].data);
    for (int place = 0; place < 5; place++)
        free(batch.numbers[place].data);
    if (more == 0)
        return result_of(&columns, true);
    free_columns(&columns);
    return NULL;
}

#endif
