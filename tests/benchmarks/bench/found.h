/* What a run finds, and the clocks it is found by. Durations are kept exactly until they are told. */
#ifndef FOUND_H
#define FOUND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef struct {
    int64_t *ns; /* with room for all there will be */
    size_t count;
} Times;

enum { STATUSES = 1000 };

/* Answers by what they are, each once: 200, 503 with Retry-After, others by status; and what had no answer as its connection
   ended. `ok_later` has those of `ok` again that were due after the first second. `late` is how late was sent what had a
   connection. */
static struct {
    Times ok, ok_later, shed, late;
    int64_t other[STATUSES], broken;
} found;

static bool room_to_find(size_t most) {
    found.ok.ns = calloc(most, sizeof(int64_t));
    found.ok_later.ns = calloc(most, sizeof(int64_t));
    found.shed.ns = calloc(most, sizeof(int64_t));
    found.late.ns = calloc(most, sizeof(int64_t));
    return found.ok.ns && found.ok_later.ns && found.shed.ns && found.late.ns;
}

static void add(Times *times, int64_t ns) { times->ns[times->count++] = ns; }

static int64_t now_by(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t now_ns(void) { return now_by(CLOCK_MONOTONIC); }

static int ascending(const void *one, const void *two) {
    int64_t a = *(const int64_t *)one, b = *(const int64_t *)two;
    return (a > b) - (a < b);
}

/* p50, p99, p99.9 and the maximum in us; zeros where there is nothing. */
static void print_times(const char *name, Times times) {
    static const double shares[] = {0.5, 0.99, 0.999, 1.0};
    qsort(times.ns, times.count, sizeof *times.ns, ascending);
    printf("\"%s\": [", name);
    for (int i = 0; i < 4; i++) {
        size_t place = (size_t)(shares[i] * (double)times.count);
        if (times.count && place >= times.count)
            place = times.count - 1;
        printf("%s%.3f", i ? ", " : "", times.count ? (double)times.ns[place] / 1e3 : 0.0);
    }
    printf("], ");
}

/* As JSON, with the fields of bench.open_loop.Found but for `wanted`. */
static void print_found(double sent_per_second, int64_t done, int64_t unanswered, double cpu_ns) {
    printf("{\"sent\": %.6f, \"done\": %ld, ", sent_per_second, (long)done);
    printf("\"ok\": %zu, \"shed\": %zu, ", found.ok.count, found.shed.count);
    print_times("ok_us", found.ok);
    print_times("ok_later_us", found.ok_later);
    print_times("shed_us", found.shed);
    print_times("late_us", found.late);
    printf("\"broken\": %ld, \"unanswered\": %ld, \"cpu_us\": %.3f, ", (long)found.broken, (long)unanswered, cpu_ns / 1e3);
    printf("\"other\": {");
    const char *comma = "";
    for (int status = 0; status < STATUSES; status++)
        if (found.other[status]) {
            printf("%s\"%d\": %ld", comma, status, (long)found.other[status]);
            comma = ", ";
        }
    printf("}}\n");
}

#endif
