#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

double dot(int n, const double *x, const double *y) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += x[i] * y[i];
  return sum;
}
void axpy(size_t n, float a, const float *x, float *y) {
  for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}
/* Many of each kind: more than there are registers. */
double many(int8_t a, uint8_t b, int16_t c, uint16_t d, int32_t e, uint32_t f, int64_t g, uint64_t h, float i, double j,
            double k, double l, double m, double n, double o, double p, double q, double r, bool s) {
  return 0.0 + a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p + q + r + (s ? 1000000 : 0);
}
int8_t low(void) { return -128; }
uint8_t byte(void) { return 200; }
int32_t negative(void) { return -5; }
uint32_t big(void) { return 4000000000u; }
uint64_t biggest(void) { return UINT64_MAX; }
float half(float x) { return x / 2; }
bool both(bool a, bool b) { return a && b; }
size_t length(const char *text) { return strlen(text); }
const char *greeting(int which) { return which ? "hello" : NULL; }
void shout(const char *text, char *out, size_t room) {
  strncpy(out, text, room - 1);
  for (char *at = out; *at; at++)
    if (*at >= 'a' && *at <= 'z') *at -= 32;
}
/* State that the library alone knows. */
struct counter { long count; };
struct counter *counter_new(long from) {
  struct counter *c = malloc(sizeof *c);
  c->count = from;
  return c;
}
long counter_next(struct counter *c) { return c ? ++c->count : -1; }
static int calls;
int count(void) { return ++calls; }
void nothing(void) {}
void crash(volatile int *at) { *at = 1; }
void leave(int code) { exit(code); }
void give_up(void) { abort(); }
void spin(void) { for (;;) __asm__ volatile(""); }
