/* A connection, and those without a request: a ring, in which `idle` stands after the latest and before the one idle longest. */
#ifndef LINE_H
#define LINE_H

#include "answer.h"

#include <stdint.h>

typedef struct Line Line;
struct Line {
    int fd;               /* -1: not open */
    bool opening;         /* not connected yet */
    Line *before, *after; /* in the ring; NULL where it is not in it */
    int64_t due;          /* when the request on it was due; 0 where there is none */
    size_t sent;          /* bytes of that request */
    Answer answer;
};

static Line idle;

static void begin_idle(void) { idle.before = idle.after = &idle; }

static bool any_idle(void) { return idle.after != &idle; }

static Line *longest_idle(void) { return idle.after; }

static bool is_idle(const Line *line) { return line->after; }

static void put_idle(Line *line) {
    line->before = idle.before;
    line->after = &idle;
    idle.before = line->before->after = line;
}

static Line *take_idle(Line *line) {
    line->before->after = line->after;
    line->after->before = line->before;
    line->before = line->after = NULL;
    return line;
}

#endif
