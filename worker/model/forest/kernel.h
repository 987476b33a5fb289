/* What the tag forest's kernel takes and gives. worker/model/forest/compiled.py mirrors it field by field. */
#ifndef MEKIKI_FOREST_KERNEL_H
#define MEKIKI_FOREST_KERNEL_H

#include <stdint.h>

/* schemas/forest.py: TREE and TAG. */
enum { NODES = 63, LEAVES = 64, LEVELS = 6, MOST_IMAGES = 512 };

typedef struct {
    uint16_t question[NODES]; /* heap order: the children of node i are 2 i + 1 and 2 i + 2 */
    uint16_t shift; /* of the leaves; trees of a tag with the same one follow each other */
    uint8_t low[LEAVES];  /* of int16 leaves */
    uint8_t high[LEAVES]; /* plus 128 */
} tree;

typedef struct {
    float base, scale, slope, offset, threshold;
    uint32_t first_tree, trees;
    int32_t linear; /* row of the linear terms, or -1 */
    uint32_t first_knot, knots, positives, rows;
    float average_precision;
    uint8_t digest[12];
} tag;

/* One block of images, and the tags [begin, end). */
typedef struct {
    const uint8_t *rows; /* a row of `stride` bytes a question; see mekiki_forest_rows */
    const tree *trees;
    const tag *tags;
    const float *linear;  /* a row of `dim` weights a linear term */
    const float *vectors; /* [dim][8 * stride] */
    const float *least;   /* by tag: the least margin that is a hit */
    float *margins;       /* [end - begin][images], or NULL */
    uint32_t *hit_tags, *hit_images;
    float *hit_margins;
    int64_t room; /* for hits */
    uint32_t dim, images, stride, begin, end;
} block;

#endif
