// A matrix product and a sweep over its result, each marked as a static control part (#pragma scop) for TADASHI.
// All loops of the product may change places; those of the sweep may not: c[i][j] needs c[i - 1][j + 1].
// -DCRASH and -DHANG make the program do so, on purpose. Values are such that every legal order gives the same bits.
#include <stdio.h>

#ifndef N
#define N 400
#endif
static double a[N][N], b[N][N], c[N][N];

int main(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      a[i][j] = (i * 3 + j) % 17;
      b[i][j] = (i + j * 5) % 13;
    }
#pragma scop
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++)
      for (int k = 0; k < N; k++)
        c[i][j] += a[i][k] * b[k][j];
#pragma endscop
#pragma scop
  for (int i = 1; i < N; i++)
    for (int j = 0; j < N - 1; j++)
      c[i][j] = 0.5 * c[i][j] + c[i - 1][j + 1];
#pragma endscop
#ifdef CRASH
  *(volatile int *)0 = 1;
#endif
#ifdef HANG
  for (volatile int forever = 1; forever;) {
  }
#endif
  double sum = 0;
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) sum += c[i][j] * ((i + j) % 7);
  printf("checksum %.17g\n", sum);
  return 0;
}
