#ifndef FRESHET_JSON_H
#define FRESHET_JSON_H

#include "columns.h"

/* Objects in objects of a field that is passed over. Deeper ones are left to Python. */
#define MAX_DEPTH 8
/* Digits of a number that is read: any of so many fits 64 bits. */
#define MAX_DIGITS 18
/* Names of actions; a format has a handful. */
#define MAX_ACTIONS 16

/* JSON. Each reader returns false for what is not plainly good. */

typedef struct {
    const char *at, *end;
    Bytes *scratch; /* has room for the whole line, so that texts in it stay where they are */
} Json;

static void skip_blanks(Json *json) {
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\t' || *json->at == '\r' || *json->at == '\n'))
        json->at++;
}

static bool skip_mark(Json *json, char mark) {
    skip_blanks(json);
    if (json->at == json->end || *json->at != mark)
        return false;
    json->at++;
    skip_blanks(json);
    return true;
}

static bool skip_word(Json *json, const char *word) {
    size_t size = strlen(word);
    if ((size_t)(json->end - json->at) < size || memcmp(json->at, word, size) != 0)
        return false;
    json->at += size;
    return true;
}

static bool read_hex(Json *json, uint32_t *found) {
    *found = 0;
    if (json->end - json->at < 4)
        return false;
    for (int place = 0; place < 4; place++) {
        char digit = *json->at++;
        uint32_t value;
        if (digit >= '0' && digit <= '9')
            value = (uint32_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            value = (uint32_t)(digit - 'a' + 10);
        else if (digit >= 'A' && digit <= 'F')
            value = (uint32_t)(digit - 'A' + 10);
        else
            return false;
        *found = *found << 4 | value;
    }
    return true;
}

static void put_code(Bytes *bytes, uint32_t code) {
    char *at = bytes->data + bytes->size;
    if (code < 0x80) {
        at[0] = (char)code;
        bytes->size += 1;
    } else if (code < 0x800) {
        at[0] = (char)(0xC0 | code >> 6);
        at[1] = (char)(0x80 | (code & 0x3F));
        bytes->size += 2;
    } else if (code < 0x10000) {
        at[0] = (char)(0xE0 | code >> 12);
        at[1] = (char)(0x80 | (code >> 6 & 0x3F));
        at[2] = (char)(0x80 | (code & 0x3F));
        bytes->size += 3;
    } else {
        at[0] = (char)(0xF0 | code >> 18);
        at[1] = (char)(0x80 | (code >> 12 & 0x3F));
        at[2] = (char)(0x80 | (code >> 6 & 0x3F));
        at[3] = (char)(0x80 | (code & 0x3F));
        bytes->size += 4;
    }
}

/* Behind the backslash. What is put is never longer than what is read. */
static bool read_escape(Json *json) {
    static const char marks[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    uint32_t code, low;
    if (json->at == json->end)
        return false;
    char mark = *json->at++;
    const char *found = mark ? strchr(marks, mark) : NULL;
    if (found != NULL) {
        put_code(json->scratch, (uint32_t)(unsigned char)meant[found - marks]);
        return true;
    }
    if (mark != 'u' || !read_hex(json, &code))
        return false;
    if (code >= 0xD800 && code < 0xE000) {
        if (code >= 0xDC00 || !skip_word(json, "\\u") || !read_hex(json, &low) || low < 0xDC00 ||
            low >= 0xE000)
            return false; /* half a pair */
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    put_code(json->scratch, code);
    return true;
}

static bool read_text(Json *json, Text *text) {
    if (json->at == json->end || *json->at != '"')
        return false;
    const char *start = ++json->at;
    while (json->at < json->end && *json->at != '"' && *json->at != '\\') {
        if ((unsigned char)*json->at < 0x20)
            return false;
        json->at++;
    }
    if (json->at < json->end && *json->at == '"') {
        *text = (Text){start, (size_t)(json->at++ - start)};
        return true;
    }
    size_t begin = json->scratch->size;
    memcpy(json->scratch->data + begin, start, (size_t)(json->at - start));
    json->scratch->size += (size_t)(json->at - start);
    while (json->at < json->end) {
        unsigned char next = (unsigned char)*json->at++;
        if (next == '"') {
            *text = (Text){json->scratch->data + begin, json->scratch->size - begin};
            return true;
        }
        if (next < 0x20 || (next == '\\' && !read_escape(json)))
            return false;
        if (next != '\\')
            json->scratch->data[json->scratch->size++] = (char)next;
    }
    return false;
}

static bool ends_value(const Json *json) {
    return json->at == json->end || strchr(" \t\r\n,}]", *json->at) != NULL;
}

/* A whole number of some digits, written in the only way. */
static bool read_number(Json *json, int64_t *number, Text *written) {
    const char *start = json->at;
    bool is_negative = json->at < json->end && *json->at == '-';
    json->at += is_negative;
    const char *digits = json->at;
    int64_t found = 0;
    for (; json->at < json->end && *json->at >= '0' && *json->at <= '9'; json->at++) {
        if (json->at - digits >= MAX_DIGITS)
            return false;
        found = found * 10 + (*json->at - '0');
    }
    if (json->at == digits || (*digits == '0' && (json->at - digits > 1 || is_negative)))
        return false;
    *number = is_negative ? -found : found;
    *written = (Text){start, (size_t)(json->at - start)};
    return ends_value(json);
}

static bool skip_number(Json *json) {
    int64_t number;
    Text written;
    const char *start = json->at;
    if (read_number(json, &number, &written))
        return true;
    /* Not whole: some digits before the point and some behind it. */
    if (json->at == json->end || *json->at != '.')
        return false;
    const char *point = json->at++;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9')
        json->at++;
    const char *first = start + (*start == '-');
    bool is_plain = point > first && (*first != '0' || point == first + 1);
    return is_plain && json->at > point + 1 && json->at - start <= MAX_DIGITS && ends_value(json);
}

static bool skip_value(Json *json, int depth) {
    Text text;
    if (json->at == json->end || depth > MAX_DEPTH)
        return false;
    char first = *json->at;
    if (first == '"')
        return read_text(json, &text);
    if (first == '-' || (first >= '0' && first <= '9'))
        return skip_number(json);
    if (first != '{' && first != '[')
        return (skip_word(json, "null") || skip_word(json, "true") || skip_word(json, "false")) &&
               ends_value(json);
    char last = first == '{' ? '}' : ']';
    json->at++;
    skip_blanks(json);
    if (json->at < json->end && *json->at == last) {
        json->at++;
        return true;
    }
    for (;;) {
        if (first == '{' && !(read_text(json, &text) && skip_mark(json, ':')))
            return false;
        if (!skip_value(json, depth + 1))
            return false;
        skip_blanks(json);
        if (json->at < json->end && *json->at == last) {
            json->at++;
            return true;
        }
        if (!skip_mark(json, ','))
            return false;
    }
}

/* A text, a whole number as its digits, or null as no text. */
static bool read_id(Json *json, Text *text) {
    int64_t number;
    *text = (Text){"", 0};
    if (json->at < json->end && *json->at == '"')
        return read_text(json, text);
    if (skip_word(json, "null"))
        return ends_value(json);
    return read_number(json, &number, text);
}

static bool is_named(Text text, const char *name) {
    return text.size == strlen(name) && memcmp(text.data, name, text.size) == 0;
}

typedef struct {
    Text name;
    int64_t number;
    bool needs_query;
} Action;

typedef struct {
    Action actions[MAX_ACTIONS];
    int count;
} Actions;

static bool read_actions(PyObject *listed, Actions *actions) {
    actions->count = 0;
    Py_ssize_t count = PyTuple_Check(listed) ? PyTuple_Size(listed) : MAX_ACTIONS + 1;
    if (count > MAX_ACTIONS) {
        PyErr_SetString(PyExc_ValueError, "actions must be a tuple of a few");
        return false;
    }
    for (; actions->count < count; actions->count++) {
        PyObject *each = PyTuple_GetItem(listed, actions->count);
        const char *name;
        Py_ssize_t size;
        long long number;
        int needs_query;
        if (!PyTuple_Check(each) ||
            !PyArg_ParseTuple(each, "s#Lp", &name, &size, &number, &needs_query)) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_TypeError, "an action is its name, number and need");
            return false;
        }
        actions->actions[actions->count] = (Action){{name, (size_t)size}, number, needs_query};
    }
    return true;
}

enum { TS_MS = 1, TYPE = 2, ITEM = 4, SESSION = 8, USER = 16, QUERY = 32 };

static int field_of(Text name) {
    switch (name.size) {
    case 4:
        return is_named(name, "type") ? TYPE : 0;
    case 5:
        return is_named(name, "ts_ms") ? TS_MS : is_named(name, "query") ? QUERY : 0;
    case 7:
        return is_named(name, "item_id") ? ITEM : is_named(name, "user_id") ? USER : 0;
    case 10:
        return is_named(name, "session_id") ? SESSION : 0;
    default:
        return 0;
    }
}

static bool read_line(Json *json, const Actions *actions, Event *event) {
    Text none = {"", 0}, kind = none, name, number;
    int seen = 0;
    *event = (Event){0, 0, none, none, none, none};
    if (!skip_mark(json, '{'))
        return false;
    do {
        const char *start = json->at;
        if (!read_text(json, &name) || name.data != start + 1 || !skip_mark(json, ':'))
            return false; /* a name with an escape may be any */
        int field = field_of(name);
        if (field & seen || is_named(name, "data") || is_named(name, "action_name"))
            return false;
        seen |= field;
        bool is_read;
        switch (field) {
        case TS_MS:
            is_read = read_number(json, &event->ts_ms, &number);
            break;
        case TYPE:
            is_read = read_text(json, &kind);
            break;
        case ITEM:
            is_read = json->at < json->end && *json->at != 'n' && read_id(json, &event->item);
            break;
        case SESSION:
            is_read = read_id(json, &event->session);
            break;
        case USER:
            is_read = read_id(json, &event->user);
            break;
        case QUERY:
            is_read = json->at < json->end && (*json->at == '"' || *json->at == 'n') &&
                      read_id(json, &event->query);
            break;
        default:
            is_read = skip_value(json, 0);
        }
        if (!is_read)
            return false;
    } while (skip_mark(json, ','));
    if (!skip_mark(json, '}') || json->at != json->end || (seen & 7) != (TS_MS | TYPE | ITEM))
        return false;
    for (int place = 0; place < actions->count; place++) {
        const Action *action = actions->actions + place;
        if (action->name.size == kind.size && memcmp(action->name.data, kind.data, kind.size) == 0) {
            event->action = action->needs_query && event->query.size == 0 ? 0 : action->number;
            return true;
        }
    }
    return false;
}

static PyObject *read_neutral(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *values, *listed, *named, *row;
    Actions actions;
    Rows rows;
    Columns columns;
    Bytes scratch = {NULL, 0, 0};
    long number;
    int more;
    Text value;
    Event event;
    if (!PyArg_ParseTuple(args, "OOO:read_neutral", &values, &listed, &named) ||
        !read_actions(named, &actions) || !open_rows(values, listed, &rows) ||
        !open_columns(&columns))
        return NULL;
    while ((more = next_row(&rows, &row, &number, &value)) == 1) {
        scratch.size = 0;
        if (!reserve(&scratch, value.size))
            goto failed;
        Json json = {value.data, value.data + value.size, &scratch};
        bool is_text = value.data != NULL && (is_ascii(value.data, value.size) ||
                                              is_utf8(value.data, value.size));
        if (is_text && read_line(&json, &actions, &event)) {
            if (!put_event(&columns, &event, (int32_t)number))
                goto failed;
        } else if (PyList_Append(columns.unread, row) < 0) {
            goto failed;
        }
    }
    free(scratch.data);
    if (more == 0)
        return result_of(&columns, false);
    free_columns(&columns);
    return NULL;
failed:
    free(scratch.data);
    free_columns(&columns);
    return NULL;
}

#endif
