/* What the soak builds anew again and again and measures: a sum that depends on N. */
#include <stdio.h>

int main(void) {
  double sum = 0;
  for (int i = 0; i < 100000; i++) sum += (double)(i % (N + 1));
  printf("sum %.0f\n", sum);
  return 0;
}
