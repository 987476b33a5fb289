/* Answers every tag of a block of images. Compiled once for each width of registers: WIDTH bytes, NAME.
 *
 * A tree is complete, of depth 6: 63 questions, each answered for all images of the block as one row of bits.
 * The path of every image is found at once: `bit[k]` says where each goes at level k, by 57 selections between
 * rows. Six rows of bits are then turned into a byte an image, which looks its leaf up in a table of 64.
 */
#include <string.h>

#include "kernel.h"

#if WIDTH > 16
#include <immintrin.h>
#endif

typedef uint8_t bytes __attribute__((vector_size(WIDTH)));
typedef uint16_t words __attribute__((vector_size(WIDTH)));
typedef float floats __attribute__((vector_size(WIDTH)));

enum { IMAGES = 8 * WIDTH, HALF = WIDTH / 2, FLOATS = WIDTH / 4, PARTS = MOST_IMAGES / IMAGES, FLUSH = 256 };

/* Rows of a part of the block: as many images as one register has bits. */
typedef struct {
    const uint8_t *first;
    size_t stride;
} answers;

static inline bytes row_of(answers rows, uint32_t question) {
    return *(const bytes *)(rows.first + question * rows.stride);
}

static inline bytes choose(bytes right, bytes no, bytes yes) { return no ^ ((no ^ yes) & right); }

/* Where the images go at every level, the root's first. */
static inline void descend(answers rows, const tree *from, bytes bit[LEVELS]) {
#pragma GCC unroll 6
    for (int level = 0; level < LEVELS; level++) {
        bytes open[LEAVES / 2];
        const uint16_t *question = from->question + (1 << level) - 1;
        int count = 1 << level;
        if (level == 0) {
            bit[0] = row_of(rows, question[0]);
            continue;
        }
        count >>= 1;
#pragma GCC unroll 16
        for (int i = 0; i < count; i++)
            open[i] = choose(bit[0], row_of(rows, question[i]), row_of(rows, question[i + count]));
#pragma GCC unroll 5
        for (int above = 1; above < level; above++) {
            count >>= 1;
#pragma GCC unroll 16
            for (int i = 0; i < count; i++) open[i] = choose(bit[above], open[i], open[i + count]);
        }
        bit[level] = open[0];
    }
}

/* Six rows of bits to a byte an image, its leaf: a transposition of 8 x 8 bits in every byte of the rows
 * (Warren, Hacker's Delight, section 7-3). leaf[r] holds images r * WIDTH to (r + 1) * WIDTH - 1. */
static inline void leaves_of(const bytes bit[LEVELS], bytes leaf[8]) {
    words p[8];
    for (int k = 0; k < LEVELS; k++) p[k] = (words)bit[LEVELS - 1 - k];
    const words low4 = (words){} + 0x0f0f, low2 = (words){} + 0x3333, low1 = (words){} + 0x5555;
    p[6] = (p[2] >> 4) & low4;
    p[2] &= low4;
    p[7] = (p[3] >> 4) & low4;
    p[3] &= low4;
    for (int k = 0; k < 2; k++) {
        words t = ((p[k] >> 4) ^ p[k + 4]) & low4;
        p[k + 4] ^= t;
        p[k] ^= t << 4;
    }
    for (int k = 0; k < 8; k += 4)
        for (int i = k; i < k + 2; i++) {
            words t = ((p[i] >> 2) ^ p[i + 2]) & low2;
            p[i + 2] ^= t;
            p[i] ^= t << 2;
        }
    for (int i = 0; i < 8; i += 2) {
        words t = ((p[i] >> 1) ^ p[i + 1]) & low1;
        p[i + 1] ^= t;
        p[i] ^= t << 1;
    }
    for (int k = 0; k < 8; k++) leaf[k] = (bytes)p[k];
}

/* Sums of the low and of the high bytes of leaves, of even and of odd images, for at most FLUSH trees. */
typedef struct {
    words low_even[8], low_odd[8], high_even[8], high_odd[8];
} sums;

#if WIDTH == 64
typedef struct {
    __m512i low, high;
} table;

static inline table table_of(const tree *from) {
    return (table){_mm512_loadu_si512(from->low), _mm512_loadu_si512(from->high)};
}

static inline bytes low_of(const table *t, bytes leaf) {
    return (bytes)_mm512_permutexvar_epi8((__m512i)leaf, t->low);
}

static inline bytes high_of(const table *t, bytes leaf) {
    return (bytes)_mm512_permutexvar_epi8((__m512i)leaf, t->high);
}
#elif WIDTH == 32
typedef struct {
    __m256i low[4], high[4];
} table;

static inline table table_of(const tree *from) {
    table t;
    for (int k = 0; k < 4; k++) {
        t.low[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(from->low + 16 * k)));
        t.high[k] = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(from->high + 16 * k)));
    }
    return t;
}

static inline bytes looked_up(const __m256i part[4], bytes leaf) {
    __m256i at = (__m256i)leaf, bit4 = _mm256_slli_epi16(at, 3), bit5 = _mm256_slli_epi16(at, 2);
    __m256i first = _mm256_blendv_epi8(_mm256_shuffle_epi8(part[0], at), _mm256_shuffle_epi8(part[1], at), bit4);
    __m256i last = _mm256_blendv_epi8(_mm256_shuffle_epi8(part[2], at), _mm256_shuffle_epi8(part[3], at), bit4);
    return (bytes)_mm256_blendv_epi8(first, last, bit5);
}

static inline bytes low_of(const table *t, bytes leaf) { return looked_up(t->low, leaf); }

static inline bytes high_of(const table *t, bytes leaf) { return looked_up(t->high, leaf); }
#endif

#if WIDTH > 16
static inline void add_tree(answers rows, const tree *from, sums *to, int32_t *total) {
    (void)total;
    bytes bit[LEVELS], leaf[8];
    descend(rows, from, bit);
    leaves_of(bit, leaf);
    const table values = table_of(from);
    const words even = (words){} + 0x00ff;
    for (int r = 0; r < 8; r++) {
        words low = (words)low_of(&values, leaf[r]), high = (words)high_of(&values, leaf[r]);
        to->low_even[r] += low & even;
        to->low_odd[r] += low >> 8;
        to->high_even[r] += high & even;
        to->high_odd[r] += high >> 8;
    }
}

static inline void flush(const sums *from, uint32_t trees, uint32_t shift, int32_t *total) {
    const int32_t bias = 256 * 128 * (int32_t)trees, unit = 1 << shift;
    for (int r = 0; r < 8; r++)
        for (int i = 0; i < HALF; i++) {
            total[r * WIDTH + 2 * i] += (from->low_even[r][i] + 256 * from->high_even[r][i] - bias) * unit;
            total[r * WIDTH + 2 * i + 1] += (from->low_odd[r][i] + 256 * from->high_odd[r][i] - bias) * unit;
        }
}
#else
static inline void add_tree(answers rows, const tree *from, sums *to, int32_t *total) {
    (void)to;
    bytes bit[LEVELS], leaf[8];
    int32_t value[LEAVES];
    descend(rows, from, bit);
    leaves_of(bit, leaf);
    for (int i = 0; i < LEAVES; i++) value[i] = (from->low[i] + 256 * (from->high[i] - 128)) * (1 << from->shift);
    const uint8_t *at = (const uint8_t *)leaf;
    for (int i = 0; i < IMAGES; i++) total[i] += value[at[i]];
}

static inline void flush(const sums *from, uint32_t trees, uint32_t shift, int32_t *total) {
    (void)from, (void)trees, (void)shift, (void)total;
}
#endif

/* Parts of one tree follow each other: the rows that the first one brought are then at hand. */
static inline void add_trees(const block *of, const tag *own, int32_t *total) {
    const tree *from = of->trees + own->first_tree;
    const int parts = (int)(of->stride / WIDTH);
    uint32_t done = 0;
    while (done < own->trees) {
        const uint32_t shift = from[done].shift;
        uint32_t count = 0;
        sums part[PARTS];
        memset(part, 0, sizeof(sums) * (size_t)parts);
        for (; done < own->trees && from[done].shift == shift && count < FLUSH; done++, count++)
            for (int p = 0; p < parts; p++)
                add_tree((answers){of->rows + p * WIDTH, of->stride}, from + done, part + p, total + p * IMAGES);
        for (int p = 0; p < parts; p++) flush(part + p, count, shift, total + p * IMAGES);
    }
}

enum { TAGS = 4, COLUMNS = WIDTH > 16 ? 4 : 2 };

/* What the linear terms of TAGS tags give, so that each column of vectors is read once for them. */
static inline void add_linear(const block *of, const float *const weights[TAGS], float margin[TAGS][MOST_IMAGES]) {
    const size_t images = 8 * (size_t)of->stride;
    for (size_t i = 0; i < of->images; i += COLUMNS * FLOATS) {
        floats sum[TAGS][COLUMNS];
        for (int t = 0; t < TAGS; t++)
            for (int k = 0; k < COLUMNS; k++) sum[t][k] = (floats){};
        for (size_t f = 0; f < of->dim; f++) {
            const floats *column = (const floats *)(of->vectors + f * images + i);
#pragma GCC unroll 4
            for (int t = 0; t < TAGS; t++) {
                const floats weight = (floats){} + weights[t][f];
#pragma GCC unroll 4
                for (int k = 0; k < COLUMNS; k++) sum[t][k] += weight * column[k];
            }
        }
        for (int t = 0; t < TAGS; t++)
            for (int k = 0; k < COLUMNS; k++) ((floats *)(margin[t] + i))[k] += sum[t][k];
    }
}

/* The linear terms of the tags [begin, begin + count); zero for those that have none. */
static inline void begin_margins(const block *of, uint32_t begin, uint32_t count,
                                 float margin[TAGS][MOST_IMAGES]) {
    const float *weights[TAGS] = {0};
    memset(margin, 0, sizeof(float) * TAGS * MOST_IMAGES);
    for (uint32_t t = 0; t < count; t++) {
        const int32_t row = of->tags[begin + t].linear;
        if (row >= 0) weights[t] = of->linear + (size_t)row * of->dim;
    }
    const float *any = 0;
    for (int t = 0; t < TAGS; t++) any = any ? any : weights[t];
    if (!any) return;
    /* Those without one ride on another's weights, and are set back. */
    const float *ridden[TAGS];
    for (int t = 0; t < TAGS; t++) ridden[t] = weights[t] ? weights[t] : any;
    add_linear(of, ridden, margin);
    for (int t = 0; t < TAGS; t++)
        if (!weights[t]) memset(margin[t], 0, sizeof(float) * MOST_IMAGES);
}

/* How many hits there are; those beyond `room` are left out. */
int64_t NAME(const block *of) {
    int64_t hits = 0;
    int32_t total[MOST_IMAGES];
    float margins[TAGS][MOST_IMAGES] __attribute__((aligned(64)));
    const int images = 8 * (int)of->stride;
    for (uint32_t t = of->begin; t < of->end; t++) {
        const tag *own = of->tags + t;
        const uint32_t place = (t - of->begin) % TAGS;
        if (place == 0) begin_margins(of, t, of->end - t < TAGS ? of->end - t : TAGS, margins);
        float *margin = margins[place];
        memset(total, 0, sizeof total);
        add_trees(of, own, total);
        for (int i = 0; i < images; i++) margin[i] += own->base + own->scale * (float)total[i];
        if (of->margins)
            memcpy(of->margins + (size_t)(t - of->begin) * of->images, margin, of->images * sizeof(float));
        const float least = of->least[t];
        int any = 0;
        for (int i = 0; i < images; i++) any |= margin[i] >= least;
        for (uint32_t i = 0; any && i < of->images; i++)
            if (margin[i] >= least && hits++ < of->room) {
                of->hit_tags[hits - 1] = t;
                of->hit_images[hits - 1] = i;
                of->hit_margins[hits - 1] = margin[i];
            }
    }
    return hits;
}
