/* Moves the wall clock of a process, by AHEAD_SECONDS: for LD_PRELOAD.

   The monotonic clock stays, as where NTP is wrong, and so do waits: a deadline by the
   wall clock that the process has reckoned is moved back before the kernel sees it. A
   deadline says by its size which clock it is of: the monotonic one begins at the boot. */

#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const time_t LEAST_WALL_SECONDS = 1000000000; /* in 2001; 31 years after a boot */

static time_t ahead;

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("AHEAD_SECONDS");
    ahead = text ? atol(text) : 0;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    int failed = (int)syscall(SYS_clock_gettime, id, out);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        out->tv_sec += ahead;
    return failed;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict deadline)
{
    struct timespec real = *deadline;
    if (real.tv_sec < LEAST_WALL_SECONDS)
        return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &real);
    real.tv_sec -= ahead;
    return pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, &real);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict deadline)
{
    struct timespec real = *deadline;
    real.tv_sec -= ahead;
    return sem_clockwait(semaphore, CLOCK_REALTIME, &real);
}
