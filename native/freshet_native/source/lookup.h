/* Texts found by their keys among those of a table. */
#ifndef FRESHET_LOOKUP_H
#define FRESHET_LOOKUP_H

#include "blake2b.h"
#include "texts_by_row.h"

/* Returns the first place whose key is not below one, among keys that ascend.
 *
 * Keys are hashes, so that a key is about where its share of all numbers is: some hundred places
 * off among a hundred thousand, and looked for from there in steps that double. Wherever it is, it
 * is found. */
static size_t place_of_key(const uint64_t *keys, size_t count, uint64_t key) {
    size_t about = (size_t)(((unsigned __int128)key * count) >> 64), step = 1;
    size_t low = about, high = about;
    while (high < count && keys[high] < key) {
        low = high + 1;
        high = count - high > step ? high + step : count;
        step *= 2;
    }
    while (low > 0 && keys[low - 1] >= key) {
        high = low - 1;
        low = low > step ? low - step : 0;
        step *= 2;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (keys[middle] < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Returns the row of a text whose key is at its place among the table's; -1: it is not there. */
static int64_t row_of_text(const uint64_t *keys, size_t count, const Table *table, Text text) {
    uint64_t key = text_key(text.bytes, text.size);
    size_t row = place_of_key(keys, count, key);
    Text found;
    if (row >= count || keys[row] != key || !take(table, (int64_t)row, &found) ||
        found.size != text.size || memcmp(found.bytes, text.bytes, text.size) != 0)
        return -1;
    return (int64_t)row;
}

#endif
