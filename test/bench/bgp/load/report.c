/* Results as JSON. */
#include "load.h"
#include <math.h>
#include <stdlib.h>

static bool first = true;

static void name_of(const char *name) {
  printf("%s\"%s\":", first ? "" : ",", name);
  first = false;
}

void report_begin(const char *name) {
  if (name != NULL) name_of(name);
  putchar('{');
  first = true;
}

void report_number(const char *name, double value) {
  name_of(name);
  if (isnan(value)) printf("null");
  else printf("%.9g", value);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

void report_spread(const char *name, double *values, size_t count) {
  report_begin(name);
  qsort(values, count, sizeof *values, by_value);
  report_number("count", (double)count);
  report_number("p50", count == 0 ? NAN : values[count / 2]);
  report_number("p99", count == 0 ? NAN : values[(count * 99) / 100]);
  report_number("max", count == 0 ? NAN : values[count - 1]);
  report_end();
}

void report_end(void) {
  putchar('}');
  first = false;
}
