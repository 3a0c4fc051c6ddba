/* What the kernels share: loops in tiles, a loop that is unrolled, and a main that times one.
 *
 * A kernel defines init, kernel and what is summed at the end; they are small versions of those of PolyBench/C. -D says how
 * its loops are written: ORDER (0 is how it was written first), TILE_I and TILE_J (iterations), UNROLL. What a variant
 * computes is seen in its checksum; `time:` is the best of a few repetitions. */
#ifndef KERNEL_H
#define KERNEL_H
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <time.h>

#ifndef N
#define N 96
#endif
#ifndef ORDER
#define ORDER 0
#endif
#ifndef TILE_I
#define TILE_I N
#endif
#ifndef TILE_J
#define TILE_J N
#endif
#ifndef UNROLL
#define UNROLL 1
#endif

/* From tile to tile, and within one: TILES(i, 1, N, TILE_I) ... IN_TILE(i, 1, N, TILE_I). With -DPLAIN there are no tiles, for
 * tools that transform loops by themselves: those of ORDER 0 are the static control parts of `#pragma scop`. */
#ifdef PLAIN
#define TILES(v, from, to, tile)
#define IN_TILE(v, from, to, tile) LOOP(v, from, to)
#else
#define TILES(v, from, to, tile) for (int v##_tile = (from); v##_tile < (to); v##_tile += (tile))
#define IN_TILE(v, from, to, tile) for (int v = v##_tile; v < (v##_tile + (tile) < (to) ? v##_tile + (tile) : (to)); v++)
#endif
#define LOOP(v, from, to) for (int v = (from); v < (to); v++)
#define PRAGMA(text) _Pragma(#text)
#ifdef __clang__
#define UNROLLED_BY(n) PRAGMA(clang loop unroll_count(n))
#else
#define UNROLLED_BY(n) PRAGMA(GCC unroll n)
#endif
#ifdef PLAIN
#define UNROLLED
#else
#define UNROLLED UNROLLED_BY(UNROLL)
#endif

static void init(void);
static void __attribute__((noinline)) kernel(void);
static double sum_of(const double *array, int count)
{
    double sum = 0.0;
    for (int i = 0; i < count; i++) sum += array[i] * (i % 97 + 1);
    return sum;
}
static double checksum(void);

int main(void)
{
    double best = HUGE_VAL;
    for (int repetition = 0; repetition < 5; repetition++) {
        struct timespec from, to;
        init();
        clock_gettime(CLOCK_MONOTONIC, &from);
        kernel();
        clock_gettime(CLOCK_MONOTONIC, &to);
        const double took = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
        if (took < best) best = took;
    }
    printf("time: %.4e\n", best);
    printf("checksum: %.10e\n", checksum());
    return 0;
}
#endif
