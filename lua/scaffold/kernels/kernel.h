/* What both kernels need: arguments, memory, a clock, and the lines that the campaign reads. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static size_t argument(int argc, char **argv, int at, size_t otherwise)
{
    if (argc <= at) return otherwise;
    const long given = strtol(argv[at], NULL, 10);
    if (given > 0) return (size_t)given;
    fprintf(stderr, "expected a number from 1, got '%s'\n", argv[at]);
    exit(2);
}

static double *elements(size_t count)
{
    double *all = malloc(count * sizeof *all);
    if (!all) {
        fprintf(stderr, "no memory for %zu elements\n", count);
        exit(1);
    }
    for (size_t i = 0; i < count; i++) all[i] = (double)(i % 17) + 1.0;
    return all;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The figure, and what was computed: a fast program that computes something else is no good. */
static void report(double operations, double elapsed, const double *result, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++) sum += result[i];
    printf("GFLOPS: %.3f\nchecksum: %.12e\n", 1e-9 * operations / elapsed, sum);
}
