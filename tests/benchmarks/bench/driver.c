/* Carries out an open-loop plan: non-blocking sockets over epoll, which also wakes it when the next request is due.

       driver HOST PORT PER_SECOND SECONDS CONNECTIONS MOST_CONNECTIONS PATIENCE < request

   Started by bench.open_loop, which says what is found; that goes to standard output as JSON. Requests are numbered in the
   order in which they are due and are sent in that order, so those that wait for a connection are always `begun` up to `due`.
   Nothing is allocated while it runs, and nothing outlasts the deadline that main() sets. */
#define _GNU_SOURCE
#include "answer.h"
#include "found.h"
#include "line.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_MOST = 1 << 23, CONNECT_MS = 5000, LEAD_NS = 5000000, SECOND_NS = 1000000000, SPARE_SECONDS = 20 };
enum { EVENTS = 32 }; /* few enough that requests that fall due meanwhile are not late by it */

static struct addrinfo *where;
static char request[REQUEST_MOST + 1];
static size_t request_size;
static double gap; /* ns from one request to the next */
static int64_t patience_ns, count, start;
static int64_t due, begun, out; /* numbers of requests so far: due, sent or lost, on their way */
static Line *lines, **unused; /* all, and a stack of those not open */
static int unused_count, opening, epoll;

static _Noreturn void die(const char *what, const char *why) {
    fprintf(stderr, "%s%s%s\n", what, *why ? ": " : "", why);
    exit(1);
}

static int64_t due_at(int64_t number) { return start + (int64_t)((double)number * gap); }

/* --- connections --------------------------------------------------------------------------------------------------------- */

static void close_line(Line *line) {
    close(line->fd); /* epoll forgets it by that */
    line->fd = -1;
    opening -= line->opening;
    if (is_idle(line))
        take_idle(line);
    unused[unused_count++] = line;
}

/* The connection has ended. A request on it has failed, or else the oldest of those that it was opened for. */
static void lose(Line *line) {
    if (line->due) {
        out--;
        found.broken++;
    } else if (line->opening && begun < due) {
        begun++;
        found.broken++;
    }
    close_line(line);
}

/* Begin to connect; the answer comes from epoll. Edge-triggered: no call is needed to await one thing or another. */
static Line *open_line(void) {
    int fd = socket(where->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        die("the driver may not open so many connections: raise the limit of open files (ulimit -n)", "");
    if (fd < 0)
        die("the driver cannot make a socket", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    Line *line = unused[--unused_count];
    line->fd = fd;
    line->due = 0;
    line->opening = true;
    opening++;
    struct epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.ptr = line}};
    if (connect(fd, where->ai_addr, where->ai_addrlen) && errno != EINPROGRESS)
        lose(line);
    else if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        die("the driver cannot watch a socket", strerror(errno));
    return line;
}

/* As many more connections as requests wait, while there may be more. */
static void open_for_waiting(void) {
    while (opening < due - begun && unused_count)
        open_line();
}

/* A connection to begin with; waits for it. */
static void open_first(void) {
    Line *line = open_line();
    struct pollfd ready = {line->fd, POLLOUT, 0};
    int error = line->fd < 0 ? errno : 0;
    socklen_t size = sizeof error;
    if (line->fd >= 0 && !poll(&ready, 1, CONNECT_MS))
        error = ETIMEDOUT;
    else if (line->fd >= 0)
        getsockopt(line->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error)
        die("the server accepts no connection", strerror(error));
    line->opening = false;
    opening--;
    put_idle(line);
}

/* --- sending ------------------------------------------------------------------------------------------------------------- */

static void send_rest(Line *line) {
    while (line->sent < request_size) {
        ssize_t sent = send(line->fd, request + line->sent, request_size - line->sent, MSG_NOSIGNAL);
        if (sent >= 0) {
            line->sent += (size_t)sent;
        } else if (errno == EAGAIN) {
            return; /* epoll says when there is room */
        } else if (errno != EINTR) {
            lose(line);
            return;
        }
    }
}

static void send_next(Line *line) {
    line->due = due_at(begun++);
    line->sent = line->answer.got = line->answer.body = 0;
    out++;
    send_rest(line);
}

static void give_back(Line *line) {
    line->due = 0;
    if (begun < due)
        send_next(line);
    else
        put_idle(line);
}

/* Send what is due by now as far as there are idle connections, which there are only where nothing waits. Each goes over the
   one that has been idle longest: requests come from many callers, and not from whoever was answered last. */
static void send_due(void) {
    int64_t until = now_ns();
    for (; due < count && due_at(due) <= until; due++) {
        if (any_idle()) {
            add(&found.late, now_ns() - due_at(due));
            send_next(take_idle(longest_idle()));
        }
    }
    open_for_waiting();
}

/* --- answers ------------------------------------------------------------------------------------------------------------- */

static void answered(Line *line) {
    Answer *answer = &line->answer;
    int64_t latency = now_ns() - line->due;
    if (answer->status == 200) {
        add(&found.ok, latency);
        if (line->due - start >= SECOND_NS)
            add(&found.ok_later, latency);
    } else if (answer->status == 503 && answer->retry_after) {
        add(&found.shed, latency);
    } else {
        found.other[answer->status]++;
    }
    out--;
    answer->got = 0;
    if (answer->closes || line->sent < request_size) /* an answer to half a request leaves the other half unread */
        close_line(line);
    else
        give_back(line);
}

/* Read what is there. A short read means that it was all, but for an end of the connection, which `ending` knows of. */
static void receive(Line *line, bool ending) {
    Answer *answer = &line->answer;
    for (bool more = true; more && line->fd >= 0;) {
        size_t room = ANSWER_MOST - answer->got;
        ssize_t got = recv(line->fd, answer->text + answer->got, room, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0 || !line->due) { /* nobody has asked for anything: it says why it is about to close */
            lose(line);
            return;
        }
        answer->got += (size_t)got;
        more = ending || (size_t)got == room;
        Extent reached = extent(answer);
        if (reached == TOO_LONG)
            die("an answer is longer than the 64 kB that the driver takes", "");
        if (reached == WHOLE)
            answered(line);
        else if (reached == BROKEN)
            lose(line);
    }
}

static void handle(Line *line, uint32_t events) {
    bool failing = events & (EPOLLERR | EPOLLHUP);
    if (line->opening) {
        if (failing) {
            lose(line);
            return;
        }
        line->opening = false;
        opening--;
        give_back(line);
    }
    if (line->fd >= 0 && (failing || events & EPOLLIN))
        receive(line, failing || events & EPOLLRDHUP);
    if (line->fd >= 0 && line->due && events & EPOLLOUT)
        send_rest(line);
}

/* Wait for answers, but only up to that moment. What is closed here is opened anew only afterwards: no event is of another. */
static void wait_until(int64_t moment) {
    struct epoll_event events[EVENTS];
    int64_t left = moment - now_ns();
    struct timespec most = {left > 0 ? left / 1000000000 : 0, left > 0 ? left % 1000000000 : 0};
    int ready = epoll_pwait2(epoll, events, EVENTS, &most, NULL);
    if (ready < 0 && errno != EINTR)
        die("the driver cannot wait (it needs Linux 5.11)", strerror(errno));
    for (int i = 0; i < ready; i++)
        handle(events[i].data.ptr, events[i].events);
    open_for_waiting();
}

/* --- the plan ------------------------------------------------------------------------------------------------------------ */

/* The plan and the request; after this no room is asked for any more. Memory that is not touched the kernel does not give. */
static int read_plan(char **given) {
    double per_second = atof(given[3]), seconds = atof(given[4]), patience = atof(given[7]);
    int connections = atoi(given[5]), most = atoi(given[6]);
    if (!(per_second > 0 && seconds > 0 && patience >= 0 && seconds + patience < 1e5 && per_second * seconds < 1e8))
        die("a plan has a rate, seconds and patience, and at most a hundred million requests", "");
    if (connections < 0 || most < 1 || connections > most)
        die("a plan has at least one connection, and no more of them to begin with", "");
    alarm((unsigned)(seconds + patience) + SPARE_SECONDS);
    request_size = fread(request, 1, sizeof request, stdin);
    if (!request_size || request_size > REQUEST_MOST)
        die("a request has at least one byte and at most 8 MB", "");
    int error = getaddrinfo(given[1], given[2], &(struct addrinfo){.ai_socktype = SOCK_STREAM}, &where);
    if (error)
        die("the driver does not know this address", gai_strerror(error));
    count = per_second * seconds < 1 ? 1 : (int64_t)(per_second * seconds);
    gap = 1e9 / per_second;
    patience_ns = (int64_t)(patience * 1e9);
    lines = calloc((size_t)most, sizeof *lines);
    unused = calloc((size_t)most, sizeof *unused);
    begin_idle();
    if (!lines || !unused || !room_to_find((size_t)count))
        die("the driver lacks memory for this plan", "");
    for (; unused_count < most; unused_count++)
        unused[unused_count] = lines + unused_count;
    return connections;
}

static void too_late(int signal) {
    (void)signal;
    static const char why[] = "the driver could not carry out its plan in time: it asks for more than this machine can send\n";
    _exit(write(STDERR_FILENO, why, sizeof why - 1) < 0 ? 3 : 2);
}

int main(int argc, char **argv) {
    if (argc != 8)
        die("usage: driver HOST PORT PER_SECOND SECONDS CONNECTIONS MOST_CONNECTIONS PATIENCE < request", "");
    signal(SIGALRM, too_late);
    int connections = read_plan(argv);
    struct rlimit files;
    if (!getrlimit(RLIMIT_NOFILE, &files)) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    prctl(PR_SET_TIMERSLACK, 1UL); /* by default the kernel may wake it up 50 us later than asked */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    while (connections--)
        open_first();

    int64_t cpu = now_by(CLOCK_PROCESS_CPUTIME_ID);
    start = now_ns() + LEAD_NS;
    while (due < count) {
        wait_until(due_at(due));
        send_due();
    }
    int64_t end = now_ns(), last = end + patience_ns, in_time = begun;
    while ((out || begun < due) && now_ns() < last)
        wait_until(last);
    cpu = now_by(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    double took = (double)(end - start), planned = (double)count * gap; /* the last request's time is part of it */
    double seconds = (took > planned ? took : planned) / 1e9;
    print_found((double)in_time / seconds, begun, out + count - begun, (double)cpu / (double)count);
    return 0;
}
