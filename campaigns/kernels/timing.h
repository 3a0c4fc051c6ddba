/* What the kernels share: reading a size, a clock, and the checksum line.
 *
 * A kernel computes the same numbers in every run: neither clock nor address nor random number enters
 * them, so its `checksum:` line tells whether a variant still computes what the reference does. The
 * figure (`GFLOPS:`, `GB/s:`) has a line of its own: it is all that may differ between two runs. */
#ifndef TIMING_H
#define TIMING_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Argument `index` as a positive whole number, or `otherwise` if it is not given. Ends the program on nonsense. */
static inline int positive(int argc, char **argv, int index, int otherwise)
{
    if (index >= argc) return otherwise;
    char *end;
    long value = strtol(argv[index], &end, 10);
    if (*end || value < 1 || value > 1 << 20) {
        fprintf(stderr, "%s: argument %d is `%s`, not a whole number from 1 to %d\n", argv[0], index, argv[index], 1 << 20);
        exit(2);
    }
    return (int)value;
}

/* `count` doubles, or the end of the program. */
static inline double *doubles(size_t count)
{
    double *array = malloc(count * sizeof *array);
    if (!array) {
        fprintf(stderr, "no memory for %zu doubles\n", count);
        exit(1);
    }
    return array;
}

/* Seconds of a clock that never steps back. */
static inline double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Weights the elements by their place, so that a block in the wrong place shows. Always summed in this order. */
static inline void print_checksum(const double *array, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += array[i] * (double)(i % 97 + 1);
    printf("checksum: %.12e\n", sum);
}

#endif
