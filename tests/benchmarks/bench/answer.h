/* Where an HTTP/1.1 answer ends and what it says: as little of the protocol as a load driver needs. */
#ifndef ANSWER_H
#define ANSWER_H

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ANSWER_MOST = 1 << 16 };

typedef enum { PART, WHOLE, BROKEN, TOO_LONG } Extent;

typedef struct {
    size_t got;  /* bytes of it so far */
    size_t body; /* where the body begins, or the first chunk not read yet; 0 while the head is not whole */
    size_t end;  /* of the whole answer; 0 where chunks say it */
    int status;
    bool retry_after, closes;
    char text[ANSWER_MOST];
} Answer;

/* The value of this field if `line` is one; lines end in CR LF, so the comparison ends there as well. */
static inline const char *value_of(const char *line, const char *name) {
    size_t length = strlen(name);
    if (strncasecmp(line, name, length))
        return NULL;
    for (line += length; *line == ' ' || *line == '\t'; line++)
        ;
    return line;
}

/* Status and what the fields say; `end` is where the last field's line ends. */
static Extent read_head(Answer *answer, const char *end) {
    const char *line = answer->text, *value;
    if (end - line < 12 || memcmp(line, "HTTP/1.", 7) || strspn(line + 9, "0123456789") < 3)
        return BROKEN;
    answer->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    answer->body = (size_t)(end - answer->text) + 4;
    answer->end = 0;
    answer->retry_after = answer->closes = false;
    bool chunked = false;
    while ((line = memchr(line, '\n', (size_t)(end - line)))) {
        line++;
        if ((value = value_of(line, "content-length:"))) {
            if (!isdigit((unsigned char)*value))
                return BROKEN;
            size_t length = strtoul(value, NULL, 10);
            if (length > ANSWER_MOST - answer->body)
                return TOO_LONG;
            answer->end = answer->body + length;
        } else if ((value = value_of(line, "transfer-encoding:"))) {
            chunked = !strncasecmp(value, "chunked", 7);
        } else if ((value = value_of(line, "connection:"))) {
            answer->closes = !strncasecmp(value, "close", 5);
        } else if (value_of(line, "retry-after:")) {
            answer->retry_after = true;
        }
    }
    if (chunked)
        answer->end = 0;
    return chunked || answer->end ? PART : BROKEN; /* only the connection's end would end it: nobody we measure does that */
}

/* Go over the chunks that are there; `body` moves on with them. */
static Extent read_chunks(Answer *answer) {
    for (;;) {
        const char *line = answer->text + answer->body, *got = answer->text + answer->got;
        const char *stop = line < got ? memmem(line, (size_t)(got - line), "\r\n", 2) : NULL;
        if (!stop)
            return PART;
        if (!isxdigit((unsigned char)*line))
            return BROKEN;
        size_t size = strtoul(line, NULL, 16);
        if (!size) /* then trailers, if any, and an empty line */
            return memmem(stop, (size_t)(got - stop), "\r\n\r\n", 4) ? WHOLE : PART;
        if (size >= ANSWER_MOST)
            return TOO_LONG;
        if ((size_t)(got - stop) < size + 4)
            return PART;
        if (memcmp(stop + 2 + size, "\r\n", 2))
            return BROKEN;
        answer->body = (size_t)(stop - answer->text) + size + 4;
    }
}

/* How far `answer` has come with the bytes it has got. Once the head is whole, `status` and the rest are set. */
static Extent extent(Answer *answer) {
    Extent found = PART;
    if (!answer->body) {
        const char *end = memmem(answer->text, answer->got, "\r\n\r\n", 4);
        if (end)
            found = read_head(answer, end);
    }
    if (found == PART && answer->body) {
        if (answer->end)
            found = answer->got >= answer->end ? WHOLE : PART;
        else
            found = read_chunks(answer);
    }
    return found == PART && answer->got == ANSWER_MOST ? TOO_LONG : found;
}

#endif
