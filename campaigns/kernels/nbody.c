/* Gravity between all pairs of SIZE bodies, STEPS times; the bodies are shared out among OpenMP threads.
 *
 *   nbody [SIZE [STEPS]]          prints GFLOPS:, threads: and checksum:
 *
 * Each body's force is summed by one thread in one order, so the checksum is the same for every number of
 * threads. Without OpenMP it is a program of one thread. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>

#include "timing.h"

#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_max_threads(void) { return 1; }
#endif

struct body { double x, y, z, vx, vy, vz; };

/* All velocities first, then all places: what a thread reads nobody writes meanwhile. */
static void step(int n, struct body *bodies, double dt)
{
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int i = 0; i < n; i++) {
            double fx = 0.0, fy = 0.0, fz = 0.0;
            for (int j = 0; j < n; j++) {
                const double dx = bodies[j].x - bodies[i].x, dy = bodies[j].y - bodies[i].y, dz = bodies[j].z - bodies[i].z;
                const double d2 = dx * dx + dy * dy + dz * dz + 0.01;
                const double f = 1.0 / (d2 * sqrt(d2));
                fx += dx * f, fy += dy * f, fz += dz * f;
            }
            bodies[i].vx += dt * fx, bodies[i].vy += dt * fy, bodies[i].vz += dt * fz;
        }
#pragma omp for schedule(static)
        for (int i = 0; i < n; i++) {
            bodies[i].x += dt * bodies[i].vx, bodies[i].y += dt * bodies[i].vy, bodies[i].z += dt * bodies[i].vz;
        }
    }
}

int main(int argc, char **argv)
{
    const int n = positive(argc, argv, 1, 2000), steps = positive(argc, argv, 2, 5);
    struct body *bodies = (struct body *)doubles((size_t)n * 6);
    for (int i = 0; i < n; i++) {
        bodies[i] = (struct body){ .x = i % 17 - 8.0, .y = i % 29 * 0.5 - 7.0, .z = i % 41 * 0.25 - 5.0 };
    }

    const double start = seconds();
    for (int s = 0; s < steps; s++) step(n, bodies, 1e-4);
    const double elapsed = seconds() - start;

    printf("GFLOPS: %.3f\n", 20e-9 * n * n * steps / elapsed);
    printf("threads: %d\n", omp_get_max_threads());
    print_checksum((double *)bodies, (size_t)n * 6);
    free(bodies);
    return 0;
}
