/* D = D + A B C, as two products. */
#include "kernel.h"

static double A[N][N], B[N][N], C[N][N], D[N][N], T[N][N];

static void init(void)
{
    LOOP(i, 0, N) LOOP(j, 0, N) {
        A[i][j] = (double)((i * j + 1) % N) / N;
        B[i][j] = (double)(i * (j + 1) % N) / N;
        C[i][j] = (double)((i * (j + 3) + 1) % N) / N;
        D[i][j] = (double)(i * (j + 2) % N) / N;
        T[i][j] = 0.0;
    }
}

static inline void add_product(double to[N][N], double a[N][N], double b[N][N])
{
#pragma scop
    TILES(i, 0, N, TILE_I) TILES(k, 0, N, TILE_J) {
#if ORDER == 0
        IN_TILE(i, 0, N, TILE_I) LOOP(j, 0, N) UNROLLED IN_TILE(k, 0, N, TILE_J) to[i][j] += a[i][k] * b[k][j];
#elif ORDER == 1
        IN_TILE(i, 0, N, TILE_I) IN_TILE(k, 0, N, TILE_J) UNROLLED LOOP(j, 0, N) to[i][j] += a[i][k] * b[k][j];
#else
        LOOP(j, 0, N) IN_TILE(i, 0, N, TILE_I) UNROLLED IN_TILE(k, 0, N, TILE_J) to[i][j] += a[i][k] * b[k][j];
#endif
    }
#pragma endscop
}

static void kernel(void)
{
    add_product(T, A, B);
    add_product(D, T, C);
}

static double checksum(void) { return sum_of(&D[0][0], N * N); }
