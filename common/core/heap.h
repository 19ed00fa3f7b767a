/* heap.h - binary heap of deadlines, intrusive: a core's timers (RFC 6275 s9.6: one per entry)
 * without a clock.  Earliest first.  Pure; allocates only in heap_put(). */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	uint64_t at; /* ms of CLOCK_BOOTTIME; read only while queued */
	size_t pos;  /* 1-based place in the heap; 0: not queued */
};

struct heap {
	struct heap_node **v; /* owned; the nodes are the caller's */
	size_t n, cap;
};

/* Queues 'node' for 'at', or moves it there.  0, or -ENOMEM: not queued (a queued one moves without
 * allocating). */
int heap_put(struct heap *, struct heap_node *, uint64_t at);
void heap_drop(struct heap *, struct heap_node *); /* nothing if it is not queued */
struct heap_node *heap_first(const struct heap *); /* NULL if empty */
void heap_free(struct heap *);                     /* frees the array, not the nodes */
