/* Vectors as codes of 8 bits a number, and what a product with them is at most.
 *
 * A vector is its codes times a scale, and what they leave, of a length that is stored with them.
 * So the product with another vector is known within that length times the other's: a bound that
 * no rounding crosses, by a quarter of the bytes.
 */
#ifndef FRESHET_CODES_H
#define FRESHET_CODES_H

#include "python.h"
#include <math.h>

enum { MOST_CODE = 127, MOST_LEVEL = 32767 };
enum { STEP = 32, AT_ONCE = 4, ROWS_AHEAD = 16 }; /* codes, and rows; rows that are fetched ahead */

static inline size_t padded(size_t dim) {
    return (dim + STEP - 1) / STEP * STEP;
}

/* Codes of rows, each a multiple of STEP, the last of them 0; behind all of them, for each row the
 * scale of its codes, then for each the length of what they leave. */
typedef struct {
    const int8_t *codes;
    const float *scales, *errors;
    size_t dim;
} Coded;

static inline size_t code_bytes(size_t count, size_t dim) {
    return count * (padded(dim) + 2 * sizeof(float));
}

static Coded coded(const void *bytes, size_t count, size_t dim) {
    const int8_t *codes = bytes;
    const float *scales = (const float *)(codes + count * padded(dim));
    return (Coded){codes, scales, scales + count, dim};
}

/* A vector that rows of codes are multiplied with: as whole numbers, too. */
typedef struct {
    int16_t *levels; /* `padded` of them */
    float scale;     /* of the levels */
    float length;    /* of the vector */
    float error;     /* of a product of any codes, before their scale, through the levels */
} Levels;

/* The greatest of the sizes of some numbers; of no number: not finite. */
static inline float greatest_of(const float *vector, size_t dim) {
    uint32_t greatest = 0;
    for (size_t at = 0; at < dim; at++) {
        uint32_t bits;
        memcpy(&bits, vector + at, sizeof bits);
        bits &= 0x7fffffff;
        greatest = bits > greatest ? bits : greatest;
    }
    float size;
    memcpy(&size, &greatest, sizeof size);
    return size;
}

/* Writes the codes of one vector, their scale and their error. Where they cannot tell of it, the
 * error is infinite. */
static inline void encode_row(const float *restrict vector, size_t dim, int8_t *restrict codes,
                              float *scale, float *error) {
    enum { SUMS = 8 };
    const float whole = 12582912; /* 1.5 * 2^23: what is added to it is rounded to whole numbers */
    float step = greatest_of(vector, dim) / MOST_CODE, inverse = step > 0 ? 1 / step : 0;
    float left[SUMS] = {0}, sum = 0;
    memset(codes + dim, 0, padded(dim) - dim);
    if (!isfinite(step) || !isfinite(inverse)) {
        memset(codes, 0, dim);
        *scale = 0;
        *error = INFINITY;
        return;
    }
    for (size_t at = 0; at < dim; at++)
        codes[at] = (int8_t)(int32_t)((vector[at] * inverse + whole) - whole);
    size_t at = 0;
    for (; at + SUMS <= dim; at += SUMS)
        for (size_t one = 0; one < SUMS; one++) {
            float rest = vector[at + one] - step * codes[at + one];
            left[one] += rest * rest;
        }
    for (; at < dim; at++)
        left[0] += (vector[at] - step * codes[at]) * (vector[at] - step * codes[at]);
    for (size_t one = 0; one < SUMS; one++)
        sum += left[one];
    *scale = step;
    *error = sqrtf(sum) * 1.0001F; /* more than the sums are off by */
}

/* Makes the levels of a finite vector, in memory for `padded` of them. */
static Levels levels_of(const float *vector, size_t dim, int16_t *memory) {
    /* The sum of a product must fit into 31 bits. */
    size_t fitting = ((size_t)1 << 31) / MOST_CODE / (dim + 1);
    float most = fitting < MOST_LEVEL ? (float)fitting : (float)MOST_LEVEL;
    Levels made = {.levels = memory, .scale = greatest_of(vector, dim) / most};
    double inverse = made.scale > 0 ? 1 / (double)made.scale : 0, length = 0, left = 0;
    memset(memory + dim, 0, (padded(dim) - dim) * sizeof *memory);
    for (size_t at = 0; at < dim; at++) {
        double level = vector[at] * inverse;
        memory[at] = (int16_t)(level + (level < 0 ? -0.5 : 0.5));
        double rest = vector[at] - (double)made.scale * memory[at];
        length += (double)vector[at] * vector[at];
        left += rest * rest;
    }
    made.length = (float)sqrt(length) * 1.0001F;
    made.error = (float)sqrt(left * (double)dim) * MOST_CODE * 1.0001F;
    return made;
}

static inline float bound_of(int32_t sum, float scale, float error, const Levels *with) {
    return scale * (with->scale * (float)sum + with->error) + error * with->length;
}

/* Writes what the products of some rows with a vector are at most. */
static void bound_plainly(const Coded *rows, size_t first, size_t count, const Levels *with,
                          float *bounds) {
    for (size_t row = first; row < first + count; row++) {
        const int8_t *codes = rows->codes + row * padded(rows->dim);
        int32_t sum = 0;
        for (size_t at = 0; at < rows->dim; at++)
            sum += codes[at] * with->levels[at];
        *bounds++ = bound_of(sum, rows->scales[row], rows->errors[row], with);
    }
}

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i products_of(const int8_t *codes, const int16_t *levels, size_t dim) {
    __m256i sums = _mm256_setzero_si256(), others = sums;
    for (size_t at = 0; at < dim; at += STEP) {
        const __m128i *half = (const __m128i *)(codes + at);
        const __m256i *with = (const __m256i *)(levels + at);
        __m256i one = _mm256_cvtepi8_epi16(_mm_loadu_si128(half));
        __m256i other = _mm256_cvtepi8_epi16(_mm_loadu_si128(half + 1));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(one, _mm256_loadu_si256(with)));
        others = _mm256_add_epi32(others, _mm256_madd_epi16(other, _mm256_loadu_si256(with + 1)));
    }
    return _mm256_add_epi32(sums, others);
}

AVX2 static void bound_by_avx2(const Coded *rows, size_t first, size_t count, const Levels *with,
                               float *bounds) {
    size_t dim = rows->dim, step = padded(dim), row = first, end = first + count;
    const int8_t *codes = rows->codes + first * step;
    for (; row + AT_ONCE <= end; row += AT_ONCE, codes += AT_ONCE * step, bounds += AT_ONCE) {
        for (size_t ahead = 0; ahead < AT_ONCE; ahead++)
            __builtin_prefetch(codes + (ROWS_AHEAD + ahead) * step);
        __m256i sums =
            _mm256_hadd_epi32(_mm256_hadd_epi32(products_of(codes, with->levels, dim),
                                                products_of(codes + step, with->levels, dim)),
                              _mm256_hadd_epi32(products_of(codes + 2 * step, with->levels, dim),
                                                products_of(codes + 3 * step, with->levels, dim)));
        __m128 whole = _mm_cvtepi32_ps(
            _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1)));
        __m128 scaled = _mm_add_ps(_mm_mul_ps(whole, _mm_set1_ps(with->scale)),
                                   _mm_set1_ps(with->error));
        __m128 most = _mm_mul_ps(_mm_loadu_ps(rows->errors + row), _mm_set1_ps(with->length));
        _mm_storeu_ps(bounds,
                      _mm_add_ps(_mm_mul_ps(_mm_loadu_ps(rows->scales + row), scaled), most));
    }
    bound_plainly(rows, row, end - row, with, bounds);
}
#endif

/* Has the first of some rows fetched before they are looked at. */
static inline void fetch(const Coded *rows, size_t first) {
    enum { LINE = 64 }; /* bytes */
    const int8_t *codes = rows->codes + first * padded(rows->dim);
    for (size_t at = 0; at < ROWS_AHEAD * padded(rows->dim); at += LINE)
        __builtin_prefetch(codes + at);
    __builtin_prefetch(rows->scales + first);
    __builtin_prefetch(rows->errors + first);
}

static void bound(const Coded *rows, size_t first, size_t count, const Levels *with,
                  float *bounds) {
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx2")) {
        bound_by_avx2(rows, first, count, with, bounds);
        return;
    }
#endif
    bound_plainly(rows, first, count, with, bounds);
}

#endif
