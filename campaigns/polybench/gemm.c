/* C = C + A B. */
#include "kernel.h"

static double A[N][N], B[N][N], C[N][N];

static void init(void)
{
    LOOP(i, 0, N) LOOP(j, 0, N) {
        A[i][j] = (double)((i * j + 1) % N) / N;
        B[i][j] = (double)(i * (j + 1) % N) / N;
        C[i][j] = (double)(i * (j + 2) % N) / N;
    }
}

static void kernel(void)
{
#pragma scop
    TILES(i, 0, N, TILE_I) TILES(j, 0, N, TILE_J) {
#if ORDER == 0
        IN_TILE(i, 0, N, TILE_I) IN_TILE(j, 0, N, TILE_J) UNROLLED LOOP(k, 0, N) C[i][j] += A[i][k] * B[k][j];
#elif ORDER == 1
        IN_TILE(i, 0, N, TILE_I) LOOP(k, 0, N) UNROLLED IN_TILE(j, 0, N, TILE_J) C[i][j] += A[i][k] * B[k][j];
#else
        LOOP(k, 0, N) IN_TILE(i, 0, N, TILE_I) UNROLLED IN_TILE(j, 0, N, TILE_J) C[i][j] += A[i][k] * B[k][j];
#endif
    }
#pragma endscop
}

static double checksum(void) { return sum_of(&C[0][0], N * N); }
