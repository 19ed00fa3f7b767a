/* engine_tun.c - the TUN engine: reads packets that the kernel's routes brought to the device, has
 * them translated and writes the results.  One read and one write a packet, no copy, no allocation;
 * packets of many segments and unfinished checksums stay as they are (vnet.h).
 *
 * A thread for each queue does nothing else: reading a new configuration with 100,000 mappings, or
 * listing them for nemoctl, holds up no packet.  Threads share the configuration, which they only
 * read, and the limit on errors. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "common/os/log.h"
#include "nat64/dev.h"
#include "nat64/event.h"
#include "nat64/translate.h"
#include "nat64/vnet.h"

#define BATCH      64 /* packets between two chances for a new configuration */
#define MAX_PACKET (40 + 65535)
#define NICE       -10  /* of the threads: forwarding goes before the host's ordinary processes */
#define TELL_MS    1000 /* between two lines of the log about packets */
#define HEADROOM   6    /* before the offload header of 10: the packet is aligned */

struct queue {
	struct nat64_engine *engine;
	int fd; /* owned */
	pthread_t thread;
	uint64_t random;
	struct nat64_counters counters; /* written by the thread alone */
	uint64_t own[NAT64_TUN_N_COUNTERS];
	uint8_t buf[HEADROOM + sizeof(struct virtio_net_hdr) + MAX_PACKET];
};

struct nat64_engine {
	pthread_rwlock_t lock; /* of 'n': a thread holds it for a batch */
	const struct nat64 *n; /* borrowed */
	struct {
		pthread_mutex_t lock;
		unsigned rate;   /* per second; as many at once */
		uint64_t tokens; /* nanoseconds saved up: one costs 1e9 / rate */
		uint64_t at;
	} bucket;
	struct {
		uint64_t at;    /* ms: when the last line was written */
		unsigned since; /* that were not told since */
	} told;                 /* shared: atomic */
	unsigned ifindex;
	int nice;       /* of the process, before nat64_tun_open() */
	int stop, died; /* eventfds, owned: to the threads, from them */
	sd_event_source *on_died;
	unsigned n_queues, n_threads;
	struct queue queues[];
};

struct emission {
	struct queue *queue;
	const struct nat64_in *in;
	const struct virtio_net_hdr *was;
};

/* There is one writer, so nothing is lost; a reader sees whole numbers. */
static void count(uint64_t *counter)
{
	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* Numbers that differ from packet to packet (splitmix64): nothing secret depends on them. */
static uint32_t next_random(struct queue *q)
{
	uint64_t z = q->random += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)(z >> 32);
}

static bool may_send_error(struct nat64_engine *e)
{
	const uint64_t second = 1000000000;
	struct timespec t;
	uint64_t now;
	bool may;

	if (!e->bucket.rate)
		return false;
	pthread_mutex_lock(&e->bucket.lock);
	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * second + (uint64_t)t.tv_nsec;
	e->bucket.tokens += now - e->bucket.at;
	if (e->bucket.tokens > second)
		e->bucket.tokens = second;
	e->bucket.at = now;
	may = e->bucket.tokens >= second / e->bucket.rate;
	if (may)
		e->bucket.tokens -= second / e->bucket.rate;
	pthread_mutex_unlock(&e->bucket.lock);
	return may;
}

static void emit(void *arg, const struct nat64_packet *p)
{
	const struct emission *m = arg;
	struct queue *q = m->queue;
	struct virtio_net_hdr h;
	struct iovec iov[1 + NAT64_MAX_IOV] = {{&h, sizeof(h)}};

	if (p->is_error && !may_send_error(q->engine)) {
		count(&q->own[NAT64_TUN_errors_limited]);
		return;
	}
	if (!vnet_write(m->was, m->in, p, &h)) {
		count(&q->own[NAT64_TUN_bad_offload]);
		return;
	}
	memcpy(iov + 1, p->iov, p->n_iov * sizeof(*iov));
	if (writev(q->fd, iov, (int)p->n_iov + 1) < 0)
		count(&q->own[NAT64_TUN_write_errors]);
	else if (p->is_error)
		count(&q->own[NAT64_TUN_errors_sent]);
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Anybody can send such packets, so there is a line now and then, and the counter for all. */
static void tell(struct nat64_engine *e, enum nat64_reason why, const uint8_t *pkt, size_t size)
{
	uint64_t now = now_ms(), at = __atomic_load_n(&e->told.at, __ATOMIC_RELAXED);
	char text[NAT64_EVENT_STRLEN];
	unsigned since;

	if (now - at < TELL_MS || !__atomic_compare_exchange_n(&e->told.at, &at, now, false,
					  __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_add_fetch(&e->told.since, 1, __ATOMIC_RELAXED);
		return;
	}
	since = __atomic_exchange_n(&e->told.since, 0, __ATOMIC_RELAXED);
	if (since)
		log_warn("%s; and %u packets before it", nat64_event_str(why, pkt, size, text),
			since);
	else
		log_warn("%s", nat64_event_str(why, pkt, size, text));
}

static void on_packet(struct queue *q, size_t size)
{
	uint8_t *pkt = q->buf + HEADROOM + sizeof(struct virtio_net_hdr);
	struct virtio_net_hdr was;
	struct nat64_in in = {.pkt = pkt, .size = size, .random = next_random(q)};
	struct emission m = {.queue = q, .in = &in, .was = &was};
	enum nat64_reason why;

	memcpy(&was, q->buf + HEADROOM, sizeof(was));
	if (!vnet_read(&was, pkt, &in)) {
		count(&q->own[NAT64_TUN_bad_offload]);
		return;
	}
	why = nat64_translate(q->engine->n, &in, emit, &m);
	count(&q->counters.n[why]);
	if (nat64_event_is(why))
		tell(q->engine, why, pkt, size);
}

/* Up to BATCH packets.  0: there may be more; else the errno that ended it. */
static int drain(struct queue *q)
{
	int e = 0;

	pthread_rwlock_rdlock(&q->engine->lock);
	for (unsigned i = 0; i < BATCH && !e; i++) {
		ssize_t n = read(q->fd, q->buf + HEADROOM, sizeof(q->buf) - HEADROOM);

		if (n < 0)
			e = errno;
		else if ((size_t)n > sizeof(struct virtio_net_hdr))
			on_packet(q, (size_t)n - sizeof(struct virtio_net_hdr));
	}
	pthread_rwlock_unlock(&q->engine->lock);
	return e;
}

static void *run(void *arg)
{
	struct queue *q = arg;
	struct pollfd fds[2] = {{q->fd, POLLIN, 0}, {q->engine->stop, POLLIN, 0}};
	int e = 0;

	while (e != EBADFD && poll(fds, 2, -1) >= 0 && !fds[1].revents)
		e = drain(q);
	if (e == EBADFD)
		eventfd_write(q->engine->died, 1);
	return NULL;
}

static int on_died(sd_event_source *s, int fd, uint32_t revents, void *arg)
{
	(void)fd, (void)revents, (void)arg;
	log_err("the device was deleted, and its routes with it: nothing is translated any more");
	return sd_event_exit(sd_event_source_get_event(s), EXIT_FAILURE);
}

static struct nat64_engine *engine_new(const struct nat64_engine_conf *conf, const struct nat64 *n)
{
	unsigned n_queues = conf->queues < NAT64_MAX_QUEUES ? conf->queues : NAT64_MAX_QUEUES;
	struct nat64_engine *e = calloc(1, sizeof(*e) + n_queues * sizeof(e->queues[0]));
	pthread_rwlockattr_t attr;

	if (!e)
		return NULL;
	e->n = n;
	e->n_queues = n_queues;
	e->bucket.rate = conf->error_rate;
	pthread_mutex_init(&e->bucket.lock, NULL);
	pthread_rwlockattr_init(&attr); /* under full load, a swap must get its turn */
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&e->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	e->stop = eventfd(0, EFD_CLOEXEC);
	e->died = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (unsigned i = 0; i < n_queues; i++) {
		e->queues[i].engine = e;
		e->queues[i].fd = -1;
		if (getrandom(&e->queues[i].random, sizeof(uint64_t), GRND_NONBLOCK) < 0)
			e->queues[i].random = i;
	}
	return e;
}

int nat64_tun_open(struct nat64_engine **out, sd_event *event, const struct nat64_engine_conf *conf,
	const struct nat64 *n)
{
	struct nat64_engine *e = engine_new(conf, n);
	int fds[NAT64_MAX_QUEUES], r;

	*out = NULL;
	if (!e)
		return -ENOMEM;
	r = nat64_dev_open(conf, fds, &e->ifindex);
	for (unsigned i = 0; i < e->n_queues && r == 0; i++)
		e->queues[i].fd = fds[i];
	if (r < 0) {
		nat64_tun_close(e);
		return r;
	}
	r = sd_event_add_io(event, &e->on_died, e->died, EPOLLIN, on_died, NULL);
	if (r < 0) {
		log_err("device %s: %s", conf->dev, strerror(-r));
		nat64_tun_close(e);
		return r;
	}
	/* This thread's, while there is the right to it (else it stays); the queues' inherit it. */
	e->nice = getpriority(PRIO_PROCESS, 0);
	setpriority(PRIO_PROCESS, 0, NICE);
	*out = e;
	return 0;
}

int nat64_tun_start(struct nat64_engine *e)
{
	int r = 0;

	while (e->n_threads < e->n_queues && r == 0) {
		struct queue *q = &e->queues[e->n_threads];

		r = -pthread_create(&q->thread, NULL, run, q);
		e->n_threads += r == 0;
	}
	setpriority(PRIO_PROCESS, 0, e->nice);
	if (r < 0)
		log_err("a thread for a queue of the device: %s", strerror(-r));
	return r;
}

void nat64_tun_swap(struct nat64_engine *e, const struct nat64 *n)
{
	pthread_rwlock_wrlock(&e->lock);
	e->n = n;
	pthread_rwlock_unlock(&e->lock);
}

void nat64_tun_counters(const struct nat64_engine *e, struct nat64_counters *add)
{
	for (unsigned i = 0; i < e->n_queues; i++)
		for (unsigned k = 0; k < NAT64_N_REASONS; k++)
			add->n[k] += __atomic_load_n(&e->queues[i].counters.n[k], __ATOMIC_RELAXED);
}

uint64_t nat64_tun_counter(const struct nat64_engine *e, enum nat64_tun_counter c)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < e->n_queues; i++)
		sum += __atomic_load_n(&e->queues[i].own[c], __ATOMIC_RELAXED);
	return sum;
}

unsigned nat64_tun_ifindex(const struct nat64_engine *e)
{
	return e->ifindex;
}

void nat64_tun_keep(const struct nat64_engine *e, struct nat64_kept *out)
{
	out->n_queues = e->n_queues;
	for (unsigned i = 0; i < e->n_queues; i++)
		out->queues[i] = e->queues[i].fd;
}

void nat64_tun_close(struct nat64_engine *e)
{
	if (!e)
		return;
	eventfd_write(e->stop, 1); /* nobody reads it: every thread sees it */
	for (unsigned i = 0; i < e->n_threads; i++)
		pthread_join(e->queues[i].thread, NULL);
	sd_event_source_disable_unref(e->on_died);
	for (unsigned i = 0; i < e->n_queues; i++)
		if (e->queues[i].fd >= 0)
			close(e->queues[i].fd);
	close(e->stop);
	close(e->died);
	pthread_rwlock_destroy(&e->lock);
	pthread_mutex_destroy(&e->bucket.lock);
	free(e);
}
