/* Sorts SIZE numbers by insertion and prints how many comparisons that took: a figure without any noise.
 * -DVERSION=2 is a change that looks harmless: it does not stop where the place is found. */
#include <stdio.h>
#include <stdlib.h>

#ifndef VERSION
#define VERSION 1
#endif

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 100, x[4096];
    if (n < 1 || n > 4096) return 2;
    long compared = 0;
    for (int i = 0; i < n; i++) x[i] = (int)(i * 7919L % 4096);
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0; j--) {
            compared++;
            if (x[j - 1] > x[j]) {
                int swap = x[j];
                x[j] = x[j - 1], x[j - 1] = swap;
            } else if (VERSION == 1) {
                break;
            }
        }
    for (int i = 1; i < n; i++)
        if (x[i - 1] > x[i]) return 1;
    printf("comparisons: %ld\n", compared);
    return 0;
}
