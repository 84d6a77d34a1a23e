#ifndef FRESHET_TABLE_H
#define FRESHET_TABLE_H

#include "hashes.h"
#include "texts.h"

/* What a text is looked up as that cannot be used, or not without a closer look. */
#define UNUSABLE UINT64_MAX
/* The key that stands for none. */
#define NO_KEY 0
/* Texts looked up at once, so that their slots are fetched together. Chosen by hand: twice
 * as many fill the first cache, half as many wait for memory more often. */
#define BLOCK 64

/* TextColumn: texts one behind the other. */

typedef struct {
    Bytes text, ends; /* of `ends` each is a size_t */
} Texts;

typedef struct {
    PyObject_HEAD
    Texts texts;
} TextColumn;

static PyTypeObject *TextColumn_Type, *TextTable_Type;

static void free_texts(Texts *texts) {
    free(texts->text.data);
    free(texts->ends.data);
    memset(texts, 0, sizeof *texts);
}

static bool put_text(Texts *texts, Text text) {
    if (!put(&texts->text, text.data, text.size))
        return false;
    size_t end = texts->text.size;
    return put(&texts->ends, &end, sizeof end);
}

static size_t num_texts(const Texts *texts) {
    return texts->ends.size / sizeof(size_t);
}

static Text text_at(const Texts *texts, size_t row) {
    const size_t *ends = (const size_t *)texts->ends.data;
    size_t start = row ? ends[row - 1] : 0;
    return (Text){(texts->text.data ? texts->text.data : "") + start, ends[row] - start};
}

/* Takes the texts over. */
static PyObject *new_column(Texts *texts) {
    TextColumn *column = PyObject_New(TextColumn, TextColumn_Type);
    if (column != NULL) {
        column->texts = *texts;
        memset(texts, 0, sizeof *texts);
    }
    return (PyObject *)column;
}

static void column_dealloc(TextColumn *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    free_texts(&self->texts);
    PyObject_Free(self);
    Py_DECREF(type);
}

static Py_ssize_t column_length(TextColumn *self) {
    return (Py_ssize_t)num_texts(&self->texts);
}

static PyObject *column_item(TextColumn *self, Py_ssize_t row) {
    if (row < 0 || row >= column_length(self)) {
        PyErr_SetString(PyExc_IndexError, "no such text");
        return NULL;
    }
    Text text = text_at(&self->texts, (size_t)row);
    return PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size, NULL);
}

static PyType_Slot column_slots[] = {
    {Py_tp_doc, "Texts of many records, as a sequence of str."},
    {Py_tp_dealloc, column_dealloc},
    {Py_sq_length, column_length},
    {Py_sq_item, column_item},
    {0, NULL},
};
static PyType_Spec column_spec = {
    "freshet_native.TextColumn",
    sizeof(TextColumn),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    column_slots,
};

/* TextTable: the key of each text that is known. */

typedef struct {
    Hash hash;
    uint64_t key;
} Slot;

/* The canonical text of a key, in `forms`; the key 0: there is none. */
typedef struct {
    uint64_t key, start;
    uint32_t size, check;
} Entry;

typedef struct {
    PyObject_HEAD
    PyObject *others; /* dict of int to str: canonical texts that others know */
    Slot *slots;
    size_t count, mask; /* `mask` is the number of slots less one; no slots: 0 */
    Entry *entries;
    size_t num_entries, entry_mask;
    Bytes canonical; /* the texts of the entries */
    Hash seed;
    size_t max_bytes;
    bool takes_empty;       /* the empty text is none, and of no use otherwise */
    Bytes reserved_prefix;  /* no text may begin so; empty: any may */
    bool has_forms;         /* the canonical form is another text: each byte by `forms` */
    unsigned char forms[256];
    Bytes form; /* of the text at hand */
} TextTable;

static Slot *slot_of(const TextTable *self, Hash hash) {
    size_t place = hash.first & self->mask;
    for (;; place = (place + 1) & self->mask) {
        Slot *slot = self->slots + place;
        bool is_hit = slot->hash.first == hash.first && slot->hash.second == hash.second;
        if (slot->hash.first == 0 || is_hit)
            return slot;
    }
}

static bool grow(TextTable *self) {
    size_t old_size = self->slots ? self->mask + 1 : 0, size = old_size ? old_size * 2 : 1024;
    Slot *old = self->slots, *slots = calloc(size, sizeof *slots);
    if (slots == NULL) {
        PyErr_NoMemory();
        return false;
    }
    self->slots = slots;
    self->mask = size - 1;
    for (size_t place = 0; place < old_size; place++)
        if (old[place].hash.first)
            *slot_of(self, old[place].hash) = old[place];
    free(old);
    return true;
}

static bool insert(TextTable *self, Hash hash, uint64_t key) {
    /* At most two slots of three are used, so that a search ends soon. */
    if (self->slots == NULL || (self->count + 1) * 3 > (self->mask + 1) * 2)
        if (!grow(self))
            return false;
    Slot *slot = slot_of(self, hash);
    self->count += slot->hash.first == 0;
    *slot = (Slot){hash, key};
    return true;
}

/* Nobody who does not know the seed can choose keys that meet. */
static size_t entry_place(const TextTable *self, uint64_t key) {
    return ((key ^ self->seed.first) * (self->seed.second | 1)) >> 24 & self->entry_mask;
}

static Entry *entry_of(const TextTable *self, uint64_t key) {
    size_t place = entry_place(self, key);
    while (self->entries[place].key != key && self->entries[place].key != NO_KEY)
        place = (place + 1) & self->entry_mask;
    return self->entries + place;
}

static bool grow_entries(TextTable *self) {
    size_t old_size = self->entries ? self->entry_mask + 1 : 0, size = old_size ? old_size * 2 : 1024;
    Entry *old = self->entries, *entries = calloc(size, sizeof *entries);
    if (entries == NULL) {
        PyErr_NoMemory();
        return false;
    }
    self->entries = entries;
    self->entry_mask = size - 1;
    for (size_t place = 0; place < old_size; place++)
        if (old[place].key != NO_KEY)
            *entry_of(self, old[place].key) = old[place];
    free(old);
    return true;
}

static Text entry_text(const TextTable *self, const Entry *entry) {
    return (Text){self->canonical.data + entry->start, entry->size};
}

/* The canonical form of a text where that is plain; without data: a closer look is needed. */
static Text plain_form(TextTable *self, Text text) {
    Text none = {NULL, 0};
    if (text.size == 0 || text.size > self->max_bytes)
        return none;
    const Bytes *reserved = &self->reserved_prefix;
    if (reserved->size && text.size >= reserved->size &&
        memcmp(text.data, reserved->data, reserved->size) == 0)
        return none;
    if (!self->has_forms) {
        /* Something of it must show, so that it is not blank. */
        for (size_t place = 0; place < text.size; place++)
            if (text.data[place] > 0x20 && text.data[place] < 0x7F)
                return text;
        return none;
    }
    if (!is_ascii(text.data, text.size) || memchr(text.data, '&', text.size))
        return none;
    Bytes *form = &self->form;
    form->size = 0;
    if (!reserve(form, text.size))
        return none;
    for (size_t place = 0; place < text.size; place++) {
        char found = (char)self->forms[(unsigned char)text.data[place]];
        if (found != ' ' || (form->size && form->data[form->size - 1] != ' '))
            form->data[form->size++] = found;
    }
    if (form->size && form->data[form->size - 1] == ' ')
        form->size--;
    return form->size ? (Text){form->data, form->size} : none;
}

static bool is_same(Text one, Text other) {
    return one.size == other.size && memcmp(one.data, other.data, one.size) == 0;
}

/* Whether others know another text of a key; -1: an error. */
static int is_taken(const TextTable *self, uint64_t key, Text form) {
    if (PyDict_Size(self->others) == 0)
        return 0;
    PyObject *number = PyLong_FromUnsignedLongLong(key);
    PyObject *known = number ? PyDict_GetItemWithError(self->others, number) : NULL;
    Py_XDECREF(number);
    if (known == NULL)
        return PyErr_Occurred() ? -1 : 0;
    Py_ssize_t size;
    const char *data = PyUnicode_AsUTF8AndSize(known, &size);
    if (data == NULL)
        PyErr_Clear(); /* half a surrogate pair: another text */
    return data == NULL || !is_same((Text){data, (size_t)size}, form);
}

/* Remember the text of a key, unless it has another; 1: done, 0: it has, -1: an error. */
static int remember(TextTable *self, uint64_t key, Text form) {
    if (self->entries == NULL || (self->num_entries + 1) * 3 > (self->entry_mask + 1) * 2)
        if (!grow_entries(self))
            return -1;
    Entry *entry = entry_of(self, key);
    if (entry->key == key)
        return is_same(entry_text(self, entry), form);
    int taken = is_taken(self, key, form);
    if (taken)
        return taken < 0 ? -1 : 0;
    uint32_t check = (uint32_t)hash_of(&self->seed, form.data, form.size).first;
    uint64_t start = self->canonical.size;
    if (!put(&self->canonical, form.data, form.size))
        return -1;
    *entry = (Entry){key, start, (uint32_t)form.size, check};
    self->num_entries++;
    return 1;
}

/* The key of a text that is not known yet, whose entry is fetched; `UNUSABLE`: a closer look
 * is needed. */
static uint64_t plain_key(TextTable *self, Text text) {
    if (text.size == 0 && self->takes_empty)
        return NO_KEY;
    Text form = plain_form(self, text);
    uint64_t key = form.data ? text_key(form.data, form.size) : UNUSABLE;
    if (key == NO_KEY)
        return UNUSABLE;
    if (self->entries && key != UNUSABLE)
        __builtin_prefetch(self->entries + entry_place(self, key));
    return key;
}

/* Know a text by its key, which becomes `UNUSABLE` where that is another's. */
static bool learn(TextTable *self, Hash hash, Text text, uint64_t *key) {
    Text form = plain_form(self, text);
    int is_own = form.data ? remember(self, *key, form) : -1;
    if (is_own == 0)
        *key = UNUSABLE;
    return is_own == 0 || (is_own == 1 && insert(self, hash, *key));
}

/* Where texts come from: a column, or a list or tuple of str. */
typedef struct {
    const Texts *column;
    PyObject *listed;
    bool is_list;
    size_t count;
} Source;

static bool open_source(PyObject *texts, Source *source) {
    memset(source, 0, sizeof *source);
    if (Py_IS_TYPE(texts, TextColumn_Type)) {
        source->column = &((TextColumn *)texts)->texts;
        source->count = num_texts(source->column);
        return true;
    }
    source->listed = PySequence_Fast(texts, "texts must be a sequence");
    if (source->listed == NULL)
        return false;
    source->is_list = PyList_Check(source->listed);
    source->count = (size_t)PySequence_Size(source->listed);
    return true;
}

/* Without data: the text is no UTF-8. */
static Text source_text(const Source *source, size_t row) {
    if (source->column)
        return text_at(source->column, row);
    Py_ssize_t place = (Py_ssize_t)row, size = 0;
    PyObject *text = source->is_list ? PyList_GetItem(source->listed, place)
                                     : PyTuple_GetItem(source->listed, place);
    const char *data = text ? PyUnicode_AsUTF8AndSize(text, &size) : NULL;
    if (data == NULL)
        PyErr_Clear();
    return (Text){data, (size_t)size};
}

static bool append_row(PyObject *rows, size_t row) {
    PyObject *number = PyLong_FromSize_t(row);
    bool done = number != NULL && PyList_Append(rows, number) == 0;
    Py_XDECREF(number);
    return done;
}

static bool find_block(TextTable *self, const Source *source, size_t start, uint64_t *keys,
                       PyObject *left) {
    Text texts[BLOCK];
    Hash hashes[BLOCK];
    size_t count = source->count - start < BLOCK ? source->count - start : BLOCK;
    for (size_t row = 0; row < count; row++) {
        texts[row] = source_text(source, start + row);
        if (texts[row].data == NULL)
            continue;
        hashes[row] = hash_of(&self->seed, texts[row].data, texts[row].size);
        if (self->slots)
            __builtin_prefetch(self->slots + (hashes[row].first & self->mask));
    }
    bool is_known[BLOCK];
    for (size_t row = 0; row < count; row++) {
        uint64_t key = UNUSABLE;
        is_known[row] = true;
        if (texts[row].data != NULL) {
            Slot *slot = self->slots ? slot_of(self, hashes[row]) : NULL;
            is_known[row] = slot && slot->hash.first;
            key = is_known[row] ? slot->key : plain_key(self, texts[row]);
        }
        keys[start + row] = key;
    }
    if (PyErr_Occurred())
        return false;
    for (size_t row = 0; row < count; row++) {
        uint64_t *key = keys + start + row;
        if (!is_known[row] && *key != UNUSABLE && *key != NO_KEY)
            if (!learn(self, hashes[row], texts[row], key))
                return false;
        if (*key == UNUSABLE && !append_row(left, start + row))
            return false;
    }
    return true;
}

static PyObject *table_find(TextTable *self, PyObject *args) {
    PyObject *texts;
    Py_buffer keys;
    Source source;
    if (!PyArg_ParseTuple(args, "Ow*:find", &texts, &keys))
        return NULL;
    PyObject *left = NULL;
    if (!open_source(texts, &source))
        goto done;
    if (keys.len != (Py_ssize_t)(source.count * sizeof(uint64_t))) {
        PyErr_SetString(PyExc_ValueError, "keys must have eight bytes a text");
        goto done;
    }
    left = PyList_New(0);
    for (size_t start = 0; left != NULL && start < source.count; start += BLOCK)
        if (!find_block(self, &source, start, keys.buf, left))
            Py_CLEAR(left);
done:
    Py_XDECREF(source.listed);
    PyBuffer_Release(&keys);
    return left;
}

static PyObject *table_add(TextTable *self, PyObject *args) {
    PyObject *known, *text, *number;
    Py_ssize_t place = 0;
    if (!PyArg_ParseTuple(args, "O!:add", &PyDict_Type, &known))
        return NULL;
    while (PyDict_Next(known, &place, &text, &number)) {
        Py_ssize_t size;
        uint64_t key = PyLong_AsUnsignedLongLong(number);
        if (key == UNUSABLE && PyErr_Occurred())
            return NULL;
        const char *data = PyUnicode_AsUTF8AndSize(text, &size);
        if (data == NULL) {
            PyErr_Clear(); /* half a surrogate pair: looked at closely each time */
            continue;
        }
        if (!insert(self, hash_of(&self->seed, data, (size_t)size), key))
            return NULL;
    }
    Py_RETURN_NONE;
}

/* Open a column of keys, and one of as many words beside it, of some bytes each. */
static bool open_keys(PyObject *args, const char *format, Py_buffer *keys, Py_buffer *beside,
                      Py_ssize_t width) {
    if (!PyArg_ParseTuple(args, format, keys, beside))
        return false;
    if (keys->len % 8 == 0 && (width == 0 || beside->len == keys->len / 8 * width))
        return true;
    PyErr_SetString(PyExc_ValueError, "keys must be whole words, and have room beside them");
    PyBuffer_Release(keys);
    if (width)
        PyBuffer_Release(beside);
    return false;
}

/* Where the entries of some keys are, which are fetched together; NULL: there is none. */
static size_t find_entries(const TextTable *self, const uint64_t *keys, size_t count,
                           const Entry **found) {
    if (count > BLOCK)
        count = BLOCK;
    if (self->entries)
        for (size_t row = 0; row < count; row++)
            __builtin_prefetch(self->entries + entry_place(self, keys[row]));
    for (size_t row = 0; row < count; row++) {
        const Entry *entry = self->entries && keys[row] != NO_KEY ? entry_of(self, keys[row]) : NULL;
        found[row] = entry && entry->key == keys[row] ? entry : NULL;
        if (found[row])
            __builtin_prefetch(self->canonical.data + found[row]->start);
    }
    return count;
}

static PyObject *table_texts(TextTable *self, PyObject *args) {
    Py_buffer keys;
    const Entry *found[BLOCK];
    if (!open_keys(args, "y*:texts", &keys, NULL, 0))
        return NULL;
    size_t count = (size_t)keys.len / 8;
    PyObject *texts = PyList_New((Py_ssize_t)count);
    for (size_t start = 0; texts != NULL && start < count;) {
        size_t size = find_entries(self, (const uint64_t *)keys.buf + start, count - start, found);
        for (size_t row = 0; texts != NULL && row < size; row++) {
            PyObject *text = Py_None;
            if (found[row]) {
                Text known = entry_text(self, found[row]);
                text = PyUnicode_DecodeUTF8(known.data, (Py_ssize_t)known.size, NULL);
            } else {
                Py_INCREF(text);
            }
            if (text == NULL)
                Py_CLEAR(texts);
            else
                PyList_SetItem(texts, (Py_ssize_t)(start + row), text); /* takes it */
        }
        start += size;
    }
    PyBuffer_Release(&keys);
    return texts;
}

static PyObject *table_checks(TextTable *self, PyObject *args) {
    Py_buffer keys, checks;
    const Entry *found[BLOCK];
    if (!open_keys(args, "y*w*:checks", &keys, &checks, sizeof(uint32_t)))
        return NULL;
    size_t count = (size_t)keys.len / 8;
    PyObject *left = PyList_New(0);
    for (size_t start = 0; left != NULL && start < count;) {
        size_t size = find_entries(self, (const uint64_t *)keys.buf + start, count - start, found);
        for (size_t row = 0; left != NULL && row < size; row++) {
            if (found[row])
                ((uint32_t *)checks.buf)[start + row] = found[row]->check;
            else if (!append_row(left, start + row))
                Py_CLEAR(left);
        }
        start += size;
    }
    PyBuffer_Release(&keys);
    PyBuffer_Release(&checks);
    return left;
}

static PyObject *table_keys(TextTable *self, PyObject *Py_UNUSED(none)) {
    PyObject *keys = PyList_New(0);
    for (size_t place = 0; keys != NULL && self->entries && place <= self->entry_mask; place++) {
        uint64_t key = self->entries[place].key;
        PyObject *number = key == NO_KEY ? NULL : PyLong_FromUnsignedLongLong(key);
        if (key != NO_KEY && (number == NULL || PyList_Append(keys, number) < 0))
            Py_CLEAR(keys);
        Py_XDECREF(number);
    }
    return keys;
}

/* The memory is kept: a table that was full will be again. */
static PyObject *table_clear(TextTable *self, PyObject *Py_UNUSED(none)) {
    if (self->slots)
        memset(self->slots, 0, (self->mask + 1) * sizeof *self->slots);
    if (self->entries)
        memset(self->entries, 0, (self->entry_mask + 1) * sizeof *self->entries);
    self->canonical.size = 0;
    self->count = self->num_entries = 0;
    Py_RETURN_NONE;
}

static PyObject *text_checks(PyObject *Py_UNUSED(module), PyObject *args) {
    PyObject *texts;
    Py_buffer seed, checks;
    Source source;
    Hash own;
    if (!PyArg_ParseTuple(args, "Oy*w*:text_checks", &texts, &seed, &checks))
        return NULL;
    PyObject *result = NULL;
    if (!open_source(texts, &source))
        goto done;
    if (seed.len != sizeof own || checks.len != (Py_ssize_t)(source.count * sizeof(uint32_t))) {
        PyErr_SetString(PyExc_ValueError, "seed must have 16 bytes, and checks four a text");
        goto done;
    }
    memcpy(&own, seed.buf, sizeof own);
    result = PyList_New(0);
    for (size_t row = 0; result != NULL && row < source.count; row++) {
        Text text = source_text(&source, row);
        if (text.data)
            ((uint32_t *)checks.buf)[row] = (uint32_t)hash_of(&own, text.data, text.size).first;
        else if (!append_row(result, row))
            Py_CLEAR(result);
    }
done:
    Py_XDECREF(source.listed);
    PyBuffer_Release(&seed);
    PyBuffer_Release(&checks);
    return result;
}

static Py_ssize_t table_length(TextTable *self) {
    return (Py_ssize_t)self->count;
}

static int table_init(TextTable *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"others",      "seed",   "max_bytes", "takes_empty",
                            "reserved_prefix", "forms", NULL};
    PyObject *others;
    Py_buffer seed, prefix, forms;
    Py_ssize_t max_bytes;
    int takes_empty, result = -1;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!y*npy*y*:TextTable", names, &PyDict_Type,
                                     &others, &seed, &max_bytes, &takes_empty, &prefix, &forms))
        return -1;
    if (seed.len != sizeof self->seed || (forms.len != 0 && forms.len != sizeof self->forms)) {
        PyErr_SetString(PyExc_ValueError, "seed must have 16 bytes, and forms none or 256");
    } else if (self->others != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "a table is made once");
    } else if (put(&self->reserved_prefix, prefix.buf, (size_t)prefix.len)) {
        Py_INCREF(others);
        self->others = others;
        memcpy(&self->seed, seed.buf, sizeof self->seed);
        self->max_bytes = max_bytes < 0 ? 0 : (size_t)max_bytes;
        self->takes_empty = takes_empty;
        self->has_forms = forms.len != 0;
        if (self->has_forms)
            memcpy(self->forms, forms.buf, sizeof self->forms);
        result = 0;
    }
    PyBuffer_Release(&seed);
    PyBuffer_Release(&prefix);
    PyBuffer_Release(&forms);
    return result;
}

static void table_dealloc(TextTable *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    Py_XDECREF(self->others);
    free(self->slots);
    free(self->entries);
    free(self->canonical.data);
    free(self->form.data);
    free(self->reserved_prefix.data);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef table_methods[] = {
    {"find", (PyCFunction)table_find, METH_VARARGS,
     "find(texts, keys): write the key of each text; return the rows that need a closer look."},
    {"add", (PyCFunction)table_add, METH_VARARGS, "add(known): know the keys of texts."},
    {"texts", (PyCFunction)table_texts, METH_VARARGS,
     "texts(keys): the canonical text of each key; None: it is not known here."},
    {"checks", (PyCFunction)table_checks, METH_VARARGS,
     "checks(keys, checks): write the check of each key's text; return the rows of the others."},
    {"keys", (PyCFunction)table_keys, METH_NOARGS, "keys(): those whose texts are known here."},
    {"clear", (PyCFunction)table_clear, METH_NOARGS, "Know no text."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot table_slots[] = {
    {Py_tp_doc, "The keys of texts."},
    {Py_tp_init, table_init},
    {Py_tp_dealloc, table_dealloc},
    {Py_tp_methods, table_methods},
    {Py_sq_length, table_length},
    {0, NULL},
};
static PyType_Spec table_spec = {
    "freshet_native.TextTable",
    sizeof(TextTable),
    0,
    Py_TPFLAGS_DEFAULT,
    table_slots,
};

#endif
