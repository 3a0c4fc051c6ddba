/* The correlations of the columns of a table. */
#include "kernel.h"

static double data[N][N], mean[N], spread[N], correlation[N][N];

static void init(void)
{
    LOOP(i, 0, N) LOOP(j, 0, N) {
        data[i][j] = (double)(i * j + i * i % 7) / N + i;
        correlation[i][j] = 0.0;
    }
}

static void kernel(void)
{
    LOOP(j, 0, N) mean[j] = spread[j] = 0.0;
    LOOP(i, 0, N) LOOP(j, 0, N) mean[j] += data[i][j] / N;
    LOOP(i, 0, N) LOOP(j, 0, N) spread[j] += (data[i][j] - mean[j]) * (data[i][j] - mean[j]) / N;
    LOOP(j, 0, N) spread[j] = spread[j] > 0.01 ? sqrt(spread[j]) : 1.0;
    LOOP(i, 0, N) LOOP(j, 0, N) data[i][j] = (data[i][j] - mean[j]) / (sqrt((double)N) * spread[j]);
#pragma scop
    TILES(i, 0, N, TILE_I) TILES(j, 0, N, TILE_J) {
#if ORDER == 0
        IN_TILE(i, 0, N, TILE_I) IN_TILE(j, 0, N, TILE_J) UNROLLED LOOP(k, 0, N) correlation[i][j] += data[k][i] * data[k][j];
#elif ORDER == 1
        IN_TILE(i, 0, N, TILE_I) LOOP(k, 0, N) UNROLLED IN_TILE(j, 0, N, TILE_J) correlation[i][j] += data[k][i] * data[k][j];
#else
        LOOP(k, 0, N) IN_TILE(i, 0, N, TILE_I) UNROLLED IN_TILE(j, 0, N, TILE_J) correlation[i][j] += data[k][i] * data[k][j];
#endif
    }
#pragma endscop
}

static double checksum(void) { return sum_of(&correlation[0][0], N * N); }
