/* Gravity between all pairs of SIZE bodies, STEPS times; the bodies are shared out among OpenMP threads and, with
 * -DRANKS, among the ranks of MPI.
 *
 *   nbody [SIZE [STEPS]]          prints GFLOPS:, threads:, ranks: and checksum:
 *
 * Each body's force is summed by one thread in one order, so the checksum is the same for every number of
 * threads and ranks. Without OpenMP it is a program of one thread, without RANKS of one rank. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>

#include "timing.h"

#ifdef _OPENMP
#include <omp.h>
#else
static int omp_get_max_threads(void) { return 1; }
#endif

#ifdef RANKS
#include <mpi.h>
#endif

struct body { double x, y, z, vx, vy, vz; };

/* The bodies of this rank are first..last-1. All velocities first, then all places: what a thread reads nobody writes
 * meanwhile. */
static void step(int n, struct body *bodies, int first, int last, double dt)
{
#pragma omp parallel
    {
#pragma omp for schedule(static)
        for (int i = first; i < last; i++) {
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
        for (int i = first; i < last; i++) {
            bodies[i].x += dt * bodies[i].vx, bodies[i].y += dt * bodies[i].vy, bodies[i].z += dt * bodies[i].vz;
        }
    }
}

#ifdef RANKS
static int ranks, rank, *counts, *places;

static void begin(int *argc, char ***argv)
{
    MPI_Init(argc, argv);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
}

/* Which bodies are whose, in doubles. */
static void share_out(int n, int *first, int *last)
{
    const int doubles_each = sizeof(struct body) / sizeof(double);
    counts = malloc(2 * (size_t)ranks * sizeof *counts), places = counts + ranks;
    if (!counts) MPI_Abort(MPI_COMM_WORLD, 1);
    for (int r = 0; r < ranks; r++) {
        const int from = (int)((long)n * r / ranks), to = (int)((long)n * (r + 1) / ranks);
        places[r] = from * doubles_each, counts[r] = (to - from) * doubles_each;
        if (r == rank) *first = from, *last = to;
    }
}

static void exchange(struct body *bodies)
{
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, bodies, counts, places, MPI_DOUBLE, MPI_COMM_WORLD);
}

static void meet(void) { MPI_Barrier(MPI_COMM_WORLD); }
static void end(void) { free(counts), MPI_Finalize(); }
#else
static const int ranks = 1, rank = 0;
static void begin(int *argc, char ***argv) { (void)argc, (void)argv; }
static void share_out(int n, int *first, int *last) { *first = 0, *last = n; }
static void exchange(struct body *bodies) { (void)bodies; }
static void meet(void) {}
static void end(void) {}
#endif

int main(int argc, char **argv)
{
    begin(&argc, &argv);
    const int n = positive(argc, argv, 1, 2000), steps = positive(argc, argv, 2, 5);
    struct body *bodies = (struct body *)doubles((size_t)n * 6);
    for (int i = 0; i < n; i++) {
        bodies[i] = (struct body){ .x = i % 17 - 8.0, .y = i % 29 * 0.5 - 7.0, .z = i % 41 * 0.25 - 5.0 };
    }

    int first, last;
    share_out(n, &first, &last);

    meet();
    const double start = seconds();
    for (int s = 0; s < steps; s++) step(n, bodies, first, last, 1e-4), exchange(bodies);
    meet();
    const double elapsed = seconds() - start;

    if (rank == 0) {
        printf("GFLOPS: %.3f\n", 20e-9 * n * n * steps / elapsed);
        printf("threads: %d\n", omp_get_max_threads());
        printf("ranks: %d\n", ranks);
        print_checksum((double *)bodies, (size_t)n * 6);
    }
    free(bodies);
    end();
    return 0;
}
