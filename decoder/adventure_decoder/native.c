/* Decode PostgreSQL's binary COPY into Arrow arrays.
 *
 * A Decoder takes the messages of one COPY, one row each, and collects them by columns. `finish` hands what it has
 * collected to Arrow as a record batch, without copying it (the Arrow C Data Interface).
 *
 * Safety: every byte is read through `take`, which compares with the end of the message, and every byte is written
 * behind `reserve`, which makes room first. A message that does not hold what its column's type says raises ValueError;
 * the decoder is then of no further use, and says so. See README.md.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- The Arrow C Data Interface (https://arrow.apache.org/docs/format/CDataInterface.html) */

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#define NULLABLE 2

/* --- Columns */

typedef enum { BOOL, INT2, INT4, INT8, FLOAT4, FLOAT8, TEXT, BYTEA, DATE, TIMESTAMP, UUID, NUMERIC, DECIMAL } Kind;

static const struct {
    const char *name, *format;
    int received; /* bytes in the message; 0: any number */
    int stored;   /* bytes in Arrow's buffer; 0: a bit, or text with offsets */
} KINDS[] = {
    [BOOL] = {"bool", "b", 1, 0},       [INT2] = {"int2", "s", 2, 2},   [INT4] = {"int4", "i", 4, 4},
    [INT8] = {"int8", "l", 8, 8},       [FLOAT4] = {"float4", "f", 4, 4}, [FLOAT8] = {"float8", "g", 8, 8},
    [TEXT] = {"text", "u", 0, 0},       [BYTEA] = {"bytea", "z", 0, 0}, [DATE] = {"date", "tdD", 4, 4},
    [TIMESTAMP] = {"timestamp", "tsu:", 8, 8}, [UUID] = {"uuid", "u", 16, 0}, [NUMERIC] = {"numeric", "u", 0, 0},
    [DECIMAL] = {"decimal", NULL, 0, 16},
};
#define KIND_COUNT ((int)(sizeof KINDS / sizeof KINDS[0]))

typedef struct {
    uint8_t *data;
    size_t room;
} Buffer;

typedef struct {
    Kind kind;      /* what the caller asked for */
    Kind now;       /* DECIMAL becomes NUMERIC, as text, in a batch with a value that does not fit */
    Kind next;      /* the same for the next batch */
    int precision, scale;
    char *name, format[16];
    Buffer valid, values, offsets; /* offsets: only of text */
    size_t text;                   /* bytes of text in `values` */
    int64_t nulls;
} Column;

typedef enum { OK, DONE, SPLIT, BAD, NO_MEMORY } Outcome;

typedef struct {
    PyObject_HEAD
    Py_ssize_t count;
    Column *columns;
    int64_t rows;
    size_t bytes;     /* of the messages in this batch */
    bool begun, ended, failed;
    bool busy;        /* `fetch` runs without the GIL */
    char *waiting;    /* a message of libpq that begins the next batch */
    int waiting_size;
    void (*free_message)(void *);
    char error[160];
} Decoder;

static bool is_text(Kind kind) { return kind == TEXT || kind == BYTEA || kind == UUID || kind == NUMERIC; }

/* Make room for so many bytes in all. What is new in it is not initialised. */
static bool reserve(Buffer *buffer, size_t bytes) {
    if (bytes <= buffer->room) return true;
    if (bytes > SIZE_MAX / 4) return false;
    size_t room = bytes < 1024 ? 1024 : bytes + bytes / 2;
    uint8_t *data = realloc(buffer->data, room);
    if (!data) return false;
    *buffer = (Buffer){data, room};
    return true;
}

static void drop(Buffer *buffer) {
    free(buffer->data);
    *buffer = (Buffer){0};
}

/* --- Reading a message */

typedef struct {
    const uint8_t *at, *end;
} Input;

/* Return the next bytes of the message, or NULL if it has fewer. */
static const uint8_t *take(Input *input, size_t size) {
    if (size > (size_t)(input->end - input->at)) return NULL;
    const uint8_t *found = input->at;
    input->at += size;
    return found;
}

static uint16_t u16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t u32(const uint8_t *p) { return (uint32_t)u16(p) << 16 | u16(p + 2); }
static uint64_t u64(const uint8_t *p) { return (uint64_t)u32(p) << 32 | u32(p + 4); }

/* --- Numerics: digits of base 10,000, the first of them with the weight 10,000 ** weight */

enum { NEGATIVE = 0x4000, NOT_A_NUMBER = 0xC000, INFINITE = 0xD000, MINUS_INFINITE = 0xF000, MAX_SCALE = 16383 };

typedef struct {
    int count, weight, scale;
    unsigned sign;
    const uint8_t *digits;
} Numeric;

static int digit(const Numeric *number, int position) {
    return position >= 0 && position < number->count ? u16(number->digits + 2 * position) : 0;
}

static Outcome read_numeric(Input field, Numeric *number) {
    const uint8_t *head = take(&field, 8);
    if (!head) return BAD;
    *number = (Numeric){u16(head), (int16_t)u16(head + 2), u16(head + 6), u16(head + 4), NULL};
    number->digits = take(&field, 2 * (size_t)number->count);
    if (!number->digits || field.at != field.end || number->scale > MAX_SCALE) return BAD;
    for (int i = 0; i < number->count; i++)
        if (digit(number, i) > 9999) return BAD;
    switch (number->sign) {
        case 0: case NEGATIVE: case NOT_A_NUMBER: case INFINITE: case MINUS_INFINITE: return OK;
        default: return BAD;
    }
}

typedef unsigned __int128 Wide;

static Wide power(int exponent) {
    Wide result = 1;
    while (exponent-- > 0) result *= 10;
    return result;
}

/* Store the number times 10 ** scale; SPLIT if it is not a whole one of at most `precision` digits. */
static Outcome to_decimal(Numeric number, int precision, int scale, uint8_t *to) {
    static const int TENS[] = {1, 10, 100, 1000, 10000};
    if (number.sign != 0 && number.sign != NEGATIVE) return SPLIT;
    while (number.count && !digit(&number, number.count - 1)) number.count--;
    while (number.count && !digit(&number, 0)) number.count--, number.weight--, number.digits += 2;
    Wide total = 0;
    if (number.count) {
        /* The decimal digits before the end of the scale; the first of base 10,000 may have fewer than four. */
        int digits = 4 * (number.weight + 1) + scale, first = digit(&number, 0);
        if (digits > 41 || (digits > 38 && first >= TENS[4 - (digits - 38)])) return SPLIT;
        int beyond = 4 * (number.count - 1 - number.weight) - scale; /* of the last digit, behind the scale */
        if (beyond >= 4 || (beyond > 0 && digit(&number, number.count - 1) % TENS[beyond])) return SPLIT;
        int whole = beyond > 0 ? number.count - 1 : number.count;
        if (digits <= 18) {
            uint64_t small = 0;
            for (int i = 0; i < whole; i++) small = small * 10000 + (unsigned)digit(&number, i);
            if (beyond > 0) small = small * (unsigned)TENS[4 - beyond] + (unsigned)(digit(&number, whole) / TENS[beyond]);
            else for (int i = beyond; i < 0; i++) small *= 10;
            total = small;
        } else {
            for (int i = 0; i < whole; i++) total = total * 10000 + (unsigned)digit(&number, i);
            if (beyond > 0) total = total * (unsigned)TENS[4 - beyond] + (unsigned)(digit(&number, whole) / TENS[beyond]);
            else total *= power(-beyond);
        }
        if (digits > precision && total >= power(precision)) return SPLIT;
    }
    if (number.sign == NEGATIVE) total = -total;
    memcpy(to, &total, sizeof total);
    return OK;
}

/* Write the number behind the column's text, as the server prints it, and set `size` to its length. */
static Outcome print_numeric(const Numeric *number, Column *column, size_t *size) {
    const char *word = number->sign == NOT_A_NUMBER ? "NaN" : number->sign == INFINITE ? "Infinity"
                     : number->sign == MINUS_INFINITE ? "-Infinity" : NULL;
    size_t before = number->weight < 0 ? 1 : 4 * ((size_t)number->weight + 1);
    if (!reserve(&column->values, column->text + 16 + before + (size_t)number->scale)) return NO_MEMORY;
    char *begin = (char *)column->values.data + column->text, *to = begin;
    if (word) {
        *size = strlen(word);
        memcpy(to, word, *size);
        return OK;
    }
    if (number->sign == NEGATIVE) *to++ = '-';
    char *first = to;
    for (int i = 0; i <= number->weight; i++) {
        int d = digit(number, i);
        for (int ten = 1000; ten; ten /= 10)
            if (d / ten % 10 || to > first || (ten == 1 && i == number->weight)) *to++ = (char)('0' + d / ten % 10);
    }
    if (number->weight < 0) *to++ = '0';
    if (number->scale) *to++ = '.';
    for (int k = 0, d = 0; k < number->scale; k++) {
        if (k % 4 == 0) d = digit(number, number->weight + 1 + k / 4);
        *to++ = (char)('0' + d / 1000);
        d = d % 1000 * 10;
    }
    *size = (size_t)(to - begin);
    return OK;
}

/* --- Rows */

static void print_uuid(const uint8_t *from, uint8_t *to) {
    static const char HEX[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) *to++ = '-';
        *to++ = (uint8_t)HEX[from[i] >> 4];
        *to++ = (uint8_t)HEX[from[i] & 15];
    }
}

/* Set the bit of the last row; the first of a byte clears the bits after it. */
static void put_bit(Buffer *bits, int64_t row, bool bit) {
    uint8_t *byte = &bits->data[row / 8], mask = (uint8_t)(1 << row % 8);
    if (row % 8 == 0) *byte = 0;
    *byte = (uint8_t)(bit ? *byte | mask : *byte & ~mask);
}

/* Write a text behind the column's text, and set `size` to its length. */
static Outcome put_text(Column *column, const uint8_t *data, size_t *size) {
    Numeric number;
    if (column->now == NUMERIC) {
        Outcome outcome = read_numeric((Input){data, data + *size}, &number);
        return outcome == OK ? print_numeric(&number, column, size) : outcome;
    }
    size_t length = column->now == UUID ? 36 : *size;
    if (!reserve(&column->values, column->text + length)) return NO_MEMORY;
    uint8_t *to = column->values.data + column->text;
    if (column->now == UUID) print_uuid(data, to);
    else if (length) memcpy(to, data, length);
    *size = length;
    return OK;
}

/* Write a value of a fixed size. */
static Outcome put_value(const Column *column, int64_t row, const uint8_t *data, size_t size) {
    uint8_t *to = column->values.data + (size_t)row * (size_t)KINDS[column->now].stored;
    uint64_t value;
    Numeric number;
    Outcome outcome;
    switch (column->now) {
        case DECIMAL:
            outcome = read_numeric((Input){data, data + size}, &number);
            return outcome == OK ? to_decimal(number, column->precision, column->scale, to) : outcome;
        case INT2: { uint16_t small = u16(data); memcpy(to, &small, 2); return OK; }
        /* The server counts from 2000 on, Arrow from 1970. The infinities wrap around to far years, as ADBC's do. */
        case INT4: case FLOAT4: case DATE: {
            uint32_t half = u32(data) + (column->now == DATE ? 10957u : 0u);
            memcpy(to, &half, 4);
            return OK;
        }
        default:
            value = u64(data) + (column->now == TIMESTAMP ? 946684800000000u : 0u);
            memcpy(to, &value, 8);
            return OK;
    }
}

/* Write a value, or NULL if `data` is NULL, as row number `row`. Nothing is changed unless it returns OK. */
static Outcome append(Column *column, int64_t row, const uint8_t *data, size_t size) {
    size_t stored = (size_t)KINDS[column->now].stored, bytes = (size_t)row / 8 + 1, end = sizeof(int32_t);
    bool text = is_text(column->now);
    if (data && KINDS[column->now].received && size != (size_t)KINDS[column->now].received) return BAD;
    if (!reserve(&column->valid, bytes)) return NO_MEMORY;
    if (!reserve(&column->values, column->now == BOOL ? bytes : ((size_t)row + 1) * stored)) return NO_MEMORY;
    if (text && !reserve(&column->offsets, ((size_t)row + 2) * end)) return NO_MEMORY;
    Outcome outcome = OK;
    if (column->now == BOOL) {
        if (data && data[0] > 1) return BAD;
        put_bit(&column->values, row, data && data[0]);
    } else if (text) {
        if (!data) size = 0;
        else if ((outcome = put_text(column, data, &size)) != OK) return outcome;
        if (column->text + size > INT32_MAX) return SPLIT;
        column->text += size;
        int32_t first = 0, last = (int32_t)column->text;
        if (row == 0) memcpy(column->offsets.data, &first, end);
        memcpy(column->offsets.data + ((size_t)row + 1) * end, &last, end);
    } else if (!data) {
        memset(column->values.data + (size_t)row * stored, 0, stored);
    } else if ((outcome = put_value(column, row, data, size)) != OK) {
        return outcome;
    }
    put_bit(&column->valid, row, data != NULL);
    column->nulls += !data;
    return OK;
}

/* Take the last value out again: its row belongs into the next batch. */
static void take_back(Column *column, int64_t row) {
    column->nulls -= !(column->valid.data[row / 8] >> row % 8 & 1);
    if (is_text(column->now)) {
        int32_t end;
        memcpy(&end, column->offsets.data + (size_t)row * sizeof end, sizeof end);
        column->text = (size_t)end;
    }
}

static Outcome bad(Decoder *self, const char *what, Py_ssize_t column) {
    self->failed = true;
    if (column < 0) snprintf(self->error, sizeof self->error, "row %lld: %s", (long long)self->rows, what);
    else snprintf(self->error, sizeof self->error, "row %lld, column %.60s: %s", (long long)self->rows,
                  self->columns[column].name, what);
    return BAD;
}

static Outcome decode_fields(Decoder *self, Input input) {
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Column *column = &self->columns[i];
        const uint8_t *head = take(&input, 4), *data = NULL;
        if (!head) return bad(self, "the row ends before it", i);
        int32_t size = (int32_t)u32(head);
        if (size < -1) return bad(self, "a negative length", i);
        if (size >= 0 && !(data = take(&input, (size_t)size))) return bad(self, "the row ends within it", i);
        Outcome outcome = append(column, self->rows, data, size < 0 ? 0 : (size_t)size);
        if (outcome == BAD) return bad(self, "no value of its type", i);
        if (outcome == NO_MEMORY) { self->failed = true; return NO_MEMORY; }
        if (outcome == SPLIT) {
            if (column->now == DECIMAL) column->next = NUMERIC;
            else if (!self->rows) return bad(self, "a text of more than 2 GB", i);
            for (Py_ssize_t k = 0; k < i; k++) take_back(&self->columns[k], self->rows);
            return SPLIT;
        }
    }
    return input.at == input.end ? OK : bad(self, "more bytes than columns", -1);
}

/* Decode a message: a row, or the end; the first one begins with the header. SPLIT: finish the batch, and repeat. */
static Outcome decode(Decoder *self, const uint8_t *data, size_t size) {
    static const char SIGNATURE[] = "PGCOPY\n\377\r\n"; /* its last byte is the zero at the end */
    Input input = {data, data + size};
    if (self->ended) return bad(self, "a message after the end", -1);
    if (!self->begun) {
        const uint8_t *signature = take(&input, sizeof SIGNATURE), *flags = take(&input, 4), *extension = take(&input, 4);
        if (!signature || !flags || !extension || memcmp(signature, SIGNATURE, sizeof SIGNATURE))
            return bad(self, "no header of a binary COPY", -1);
        if (u32(flags) || !take(&input, u32(extension))) return bad(self, "a header of an unknown kind", -1);
        if (input.at == input.end) { self->begun = true; return OK; }
    }
    const uint8_t *head = take(&input, 2);
    if (!head) return bad(self, "the row is empty", -1);
    int16_t fields = (int16_t)u16(head);
    if (fields == -1) {
        if (input.at != input.end) return bad(self, "bytes after the end", -1);
        self->begun = self->ended = true;
        return DONE;
    }
    if (fields != self->count) return bad(self, "another number of columns", -1);
    Outcome outcome;
    while ((outcome = decode_fields(self, input)) == SPLIT && !self->rows)
        /* Nothing is in this batch yet: it begins with the column as text. */
        for (Py_ssize_t i = 0; i < self->count; i++) self->columns[i].now = self->columns[i].next;
    if (outcome == OK) {
        self->begun = true;
        self->rows++;
        self->bytes += size;
    }
    return outcome;
}

/* --- Handing a batch over to Arrow */

static void release_schema(struct ArrowSchema *schema) {
    for (int64_t i = 0; i < schema->n_children; i++) {
        struct ArrowSchema *child = schema->children[i];
        if (child && child->release) child->release(child);
        free(child);
    }
    free(schema->children);
    free(schema->private_data);
    schema->release = NULL;
}

static void release_array(struct ArrowArray *array) {
    for (int64_t i = 0; i < array->n_children; i++) {
        struct ArrowArray *child = array->children[i];
        if (child && child->release) child->release(child);
        free(child);
    }
    for (int64_t i = 0; i < array->n_buffers; i++) free((void *)array->buffers[i]);
    free(array->children);
    free(array->buffers);
    array->release = NULL;
}

static void free_schema_capsule(PyObject *capsule) {
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (schema && schema->release) schema->release(schema);
    free(schema);
}

static void free_array_capsule(PyObject *capsule) {
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");
    if (array && array->release) array->release(array);
    free(array);
}

static bool fill_schema(struct ArrowSchema *schema, const char *format, const char *name, int64_t flags) {
    size_t first = strlen(format) + 1, second = strlen(name) + 1;
    char *texts = malloc(first + second);
    if (!texts) return false;
    memcpy(texts, format, first);
    memcpy(texts + first, name, second);
    *schema = (struct ArrowSchema){.format = texts, .name = texts + first, .flags = flags, .private_data = texts,
                                   .release = release_schema};
    return true;
}

static struct ArrowSchema *new_schema(const Decoder *self) {
    struct ArrowSchema *schema = calloc(1, sizeof *schema);
    if (!schema || !fill_schema(schema, "+s", "", 0)) { free(schema); return NULL; }
    bool made = (schema->children = calloc((size_t)self->count + 1, sizeof *schema->children)) != NULL;
    for (Py_ssize_t i = 0; made && i < self->count; i++) {
        const Column *column = &self->columns[i];
        struct ArrowSchema *child = calloc(1, sizeof *child);
        const char *format = column->now == DECIMAL ? column->format : KINDS[column->now].format;
        made = child && fill_schema(child, format, column->name, NULLABLE);
        if (made) schema->children[schema->n_children++] = child;
        else free(child);
    }
    if (made) return schema;
    release_schema(schema);
    free(schema);
    return NULL;
}

/* Move a buffer into the array; Arrow wants one even where there is nothing. */
static bool move(Buffer *buffer, const void **to) {
    if (!buffer->data && !reserve(buffer, 1)) return false;
    *to = buffer->data;
    *buffer = (Buffer){0};
    return true;
}

static struct ArrowArray *new_array(int64_t length, int64_t buffers, int64_t children) {
    struct ArrowArray *array = calloc(1, sizeof *array);
    if (!array) return NULL;
    array->length = length;
    array->release = release_array;
    array->buffers = calloc((size_t)buffers + 1, sizeof *array->buffers);
    array->children = calloc((size_t)children + 1, sizeof *array->children);
    if (array->buffers && array->children) {
        array->n_buffers = buffers;
        return array;
    }
    release_array(array);
    free(array);
    return NULL;
}

static struct ArrowArray *move_rows(Decoder *self) {
    struct ArrowArray *array = new_array(self->rows, 1, self->count);
    for (Py_ssize_t i = 0; array && i < self->count; i++) {
        Column *column = &self->columns[i];
        bool text = is_text(column->now);
        struct ArrowArray *child = new_array(self->rows, text ? 3 : 2, 0);
        if (child) array->children[array->n_children++] = child;
        if (!child || !move(&column->valid, &child->buffers[0]) || (text && !move(&column->offsets, &child->buffers[1]))
            || !move(&column->values, &child->buffers[text ? 2 : 1])) {
            release_array(array);
            free(array);
            return NULL;
        }
        child->null_count = column->nulls;
    }
    return array;
}

/* --- The Python type */

static bool unusable(const Decoder *self) {
    if (self->busy) PyErr_SetString(PyExc_RuntimeError, "another thread uses the decoder");
    else if (self->failed) PyErr_SetString(PyExc_ValueError, "the decoder has failed before");
    return self->busy || self->failed;
}

static PyObject *result(Decoder *self, Outcome outcome) {
    if (outcome == BAD) return PyErr_Format(PyExc_ValueError, "%s", self->error);
    if (outcome == NO_MEMORY) return PyErr_NoMemory();
    return PyLong_FromLong(outcome);
}

PyDoc_STRVAR(feed_doc, "feed(message)\n--\n\nDecode one message of the COPY; return ROW, END or FULL. After FULL, call\n"
                       "finish() and feed the message again: it begins another batch.");
static PyObject *feed(Decoder *self, PyObject *message) {
    Py_buffer view;
    if (unusable(self) || PyObject_GetBuffer(message, &view, PyBUF_SIMPLE) < 0) return NULL;
    Outcome outcome = decode(self, view.buf, (size_t)view.len);
    PyBuffer_Release(&view);
    return result(self, outcome);
}

PyDoc_STRVAR(fetch_doc,
             "fetch(connection, get_copy_data, freemem, bytes)\n--\n\n"
             "Decode the messages that libpq has received, without the GIL, until the batch holds so many bytes.\n\n"
             "Args: the address of a PGconn, and those of PQgetCopyData and PQfreemem of the libpq that opened it.\n"
             "Returns: ROW: libpq has no complete message; END: the COPY ended or failed; FULL: the batch is full.");
static PyObject *fetch(Decoder *self, PyObject *args) {
    unsigned long long connection, get, freemem;
    Py_ssize_t limit;
    if (unusable(self) || !PyArg_ParseTuple(args, "KKKn", &connection, &get, &freemem, &limit)) return NULL;
    int (*get_copy_data)(void *, char **, int) = (int (*)(void *, char **, int))(uintptr_t)get;
    self->free_message = (void (*)(void *))(uintptr_t)freemem;
    if (!connection || !get_copy_data || !self->free_message) {
        PyErr_SetString(PyExc_ValueError, "an address is zero");
        return NULL;
    }
    self->busy = true;
    Outcome outcome = OK;
    Py_BEGIN_ALLOW_THREADS
    while (outcome == OK || outcome == DONE) {
        char *message = self->waiting;
        int size = message ? self->waiting_size : get_copy_data((void *)(uintptr_t)connection, &message, 1);
        self->waiting = NULL;
        if (size <= 0) {
            outcome = size ? DONE : OK;
            break;
        }
        outcome = decode(self, (const uint8_t *)message, (size_t)size);
        if (outcome == SPLIT) self->waiting = message, self->waiting_size = size;
        else self->free_message(message);
        if (outcome == OK && self->bytes >= (size_t)limit) outcome = SPLIT;
    }
    Py_END_ALLOW_THREADS
    self->busy = false;
    return result(self, outcome);
}

PyDoc_STRVAR(finish_doc, "finish()\n--\n\nReturn the rows since the last call as capsules (arrow_schema, arrow_array).");
static PyObject *finish(Decoder *self, PyObject *Py_UNUSED(none)) {
    if (unusable(self)) return NULL;
    PyObject *schema_capsule = NULL, *array_capsule = NULL, *both = NULL;
    for (Py_ssize_t i = 0; i < self->count; i++) {
        /* The offsets begin with zero, also where there is no row. */
        Buffer *offsets = &self->columns[i].offsets;
        if (!reserve(offsets, sizeof(int32_t))) return PyErr_NoMemory();
        if (!self->rows) memset(offsets->data, 0, sizeof(int32_t));
    }
    struct ArrowSchema *schema = new_schema(self);
    if (!schema || !(schema_capsule = PyCapsule_New(schema, "arrow_schema", free_schema_capsule))) goto end;
    schema = NULL;
    struct ArrowArray *array = move_rows(self);
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Column *column = &self->columns[i];
        drop(&column->valid), drop(&column->values), drop(&column->offsets);
        column->now = column->next != column->now ? column->next : column->kind;
        column->next = column->kind;
        column->nulls = 0;
        column->text = 0;
    }
    self->rows = 0;
    self->bytes = 0;
    if (array && !(array_capsule = PyCapsule_New(array, "arrow_array", free_array_capsule))) {
        release_array(array);
        free(array);
    }
    if (array_capsule) both = PyTuple_Pack(2, schema_capsule, array_capsule);
end:
    if (schema) {
        release_schema(schema);
        free(schema);
    }
    Py_XDECREF(schema_capsule);
    Py_XDECREF(array_capsule);
    if (!both && !PyErr_Occurred()) PyErr_NoMemory();
    return both;
}

static bool fill_column(Column *column, PyObject *described) {
    const char *name, *kind;
    if (!PyArg_ParseTuple(described, "ss|ii", &name, &kind, &column->precision, &column->scale)) return false;
    int number = 0;
    while (number < KIND_COUNT && strcmp(kind, KINDS[number].name)) number++;
    if (number == KIND_COUNT) {
        PyErr_Format(PyExc_ValueError, "column %s: no kind %s", name, kind);
        return false;
    }
    if (number == DECIMAL && (column->precision < 1 || column->precision > 38 || column->scale < 0
                              || column->scale > column->precision)) {
        PyErr_Format(PyExc_ValueError, "column %s: no decimal(%d, %d)", name, column->precision, column->scale);
        return false;
    }
    column->kind = column->now = column->next = (Kind)number;
    snprintf(column->format, sizeof column->format, "d:%d,%d", column->precision, column->scale);
    if (!(column->name = malloc(strlen(name) + 1))) {
        PyErr_NoMemory();
        return false;
    }
    strcpy(column->name, name);
    return true;
}

static void forget(Decoder *self) {
    for (Py_ssize_t i = 0; i < self->count; i++) {
        Column *column = &self->columns[i];
        drop(&column->valid), drop(&column->values), drop(&column->offsets);
        free(column->name);
    }
    free(self->columns);
    if (self->waiting) self->free_message(self->waiting);
}

static PyObject *decoder_new(PyTypeObject *type, PyObject *args, PyObject *keywords) {
    PyObject *described;
    if (keywords && PyDict_Size(keywords)) {
        PyErr_SetString(PyExc_TypeError, "Decoder takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "O", &described)) return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Decoder *self = (Decoder *)allocate(type, 0); /* all zero */
    PyObject *columns = self ? PySequence_Tuple(described) : NULL;
    if (!columns) goto failed;
    Py_ssize_t count = PyTuple_Size(columns);
    if (!(self->columns = calloc((size_t)count + 1, sizeof *self->columns))) {
        PyErr_NoMemory();
        goto failed;
    }
    for (; self->count < count; self->count++) {
        PyObject *each = PyTuple_GetItem(columns, self->count);
        if (!PyTuple_Check(each)) {
            PyErr_SetString(PyExc_TypeError, "a column is a tuple (name, kind[, precision, scale])");
            goto failed;
        }
        if (!fill_column(&self->columns[self->count], each)) goto failed;
    }
    Py_DECREF(columns);
    return (PyObject *)self;
failed:
    Py_XDECREF(columns);
    Py_XDECREF((PyObject *)self);
    return NULL;
}

static void decoder_dealloc(Decoder *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    forget(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"feed", (PyCFunction)feed, METH_O, feed_doc},
    {"fetch", (PyCFunction)fetch, METH_VARARGS, fetch_doc},
    {"finish", (PyCFunction)finish, METH_NOARGS, finish_doc},
    {0},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Decoder(columns)\n--\n\nCollects the rows of one COPY; columns are (name, kind[, precision, scale])."},
    {Py_tp_new, decoder_new},
    {Py_tp_dealloc, decoder_dealloc},
    {Py_tp_methods, methods},
    {0},
};

static PyType_Spec spec = {"adventure_decoder.Decoder", sizeof(Decoder), 0, Py_TPFLAGS_DEFAULT, slots};

static struct PyModuleDef module = {.m_base = PyModuleDef_HEAD_INIT, .m_name = "adventure_decoder.native",
                                    .m_doc = "PostgreSQL's binary COPY into Arrow.", .m_size = -1};

PyMODINIT_FUNC PyInit_native(void) {
    PyObject *made = PyModule_Create(&module), *type = PyType_FromSpec(&spec);
    if (!made || !type || PyModule_AddObjectRef(made, "Decoder", type) < 0 || PyModule_AddIntConstant(made, "ROW", OK) < 0
        || PyModule_AddIntConstant(made, "END", DONE) < 0 || PyModule_AddIntConstant(made, "FULL", SPLIT) < 0) {
        Py_CLEAR(made);
    }
    Py_XDECREF(type);
    return made;
}
