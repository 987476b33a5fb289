/* What is the same for every width of registers: which the machine has, codes of vectors, rows of answers. */
#include <string.h>

#include "kernel.h"

#ifndef SOURCE
#define SOURCE "unknown"
#endif

/* The digest of the sources that this was compiled from. */
const char *mekiki_forest_source(void) { return SOURCE; }

/* The widest registers in bytes that this machine has a kernel for: 64, 32 or 16. */
int mekiki_forest_widest(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi"))
        return 64;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 32;
#endif
    return 16;
}

/* codes[i][f]: how many cuts of dimension f are at most vectors[i][f]. `first` has dim + 1 entries. */
void mekiki_forest_codes(const float *vectors, uint32_t images, uint32_t dim, const float *cuts,
                         const uint32_t *first, uint8_t *codes) {
    for (uint32_t i = 0; i < images; i++)
        for (uint32_t f = 0; f < dim; f++) {
            const float value = vectors[(size_t)i * dim + f], *own = cuts + first[f];
            uint32_t low = 0, high = first[f + 1] - first[f];
            while (low < high) {
                uint32_t middle = (low + high) / 2;
                if (own[middle] <= value)
                    low = middle + 1;
                else
                    high = middle;
            }
            codes[(size_t)i * dim + f] = (uint8_t)low;
        }
}

/* Row first[f] + t says whether codes[i][f] > t. A row of `stride` bytes has parts of `width` bytes; bit r of
 * byte j of part p is image (8 p + r) * width + j. */
void mekiki_forest_rows(const uint8_t *codes, uint32_t images, uint32_t dim, const uint32_t *first,
                        uint32_t width, uint32_t stride, uint8_t *rows) {
    for (uint32_t f = 0; f < dim; f++) {
        uint8_t *own = rows + (size_t)first[f] * stride;
        const uint32_t cuts = first[f + 1] - first[f];
        memset(own, 0, (size_t)cuts * stride);
        /* The highest question that each image says yes to, then downwards: who is over t is over t - 1. */
        for (uint32_t i = 0; i < images; i++) {
            const uint8_t code = codes[(size_t)i * dim + f];
            const uint32_t octet = i / width; /* 8 p + r */
            if (code) own[(size_t)(code - 1) * stride + octet / 8 * width + i % width] |= (uint8_t)(1u << octet % 8);
        }
        for (uint32_t t = cuts; t-- > 1;)
            for (uint32_t j = 0; j < stride; j++) own[(size_t)(t - 1) * stride + j] |= own[(size_t)t * stride + j];
    }
}
