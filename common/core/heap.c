/* heap.c - binary heap of deadlines; v[0] is place 1. */
#include "common/core/heap.h"
#include <errno.h>
#include <stdlib.h>

static void set(struct heap *h, size_t pos, struct heap_node *node)
{
	h->v[pos - 1] = node;
	node->pos = pos;
}

/* Moves 'node', which may stand anywhere, to its place, starting from the hole at 'pos'. */
static void settle(struct heap *h, size_t pos, struct heap_node *node)
{
	size_t child;

	while (pos > 1 && h->v[pos / 2 - 1]->at > node->at) {
		set(h, pos, h->v[pos / 2 - 1]);
		pos /= 2;
	}
	while ((child = 2 * pos) <= h->n) {
		if (child < h->n && h->v[child]->at < h->v[child - 1]->at)
			child++;
		if (h->v[child - 1]->at >= node->at)
			break;
		set(h, pos, h->v[child - 1]);
		pos = child;
	}
	set(h, pos, node);
}

int heap_put(struct heap *h, struct heap_node *node, uint64_t at)
{
	if (node->pos == 0) {
		if (h->n == h->cap) {
			size_t cap = h->cap ? 2 * h->cap : 16;
			struct heap_node **v = reallocarray(h->v, cap, sizeof(struct heap_node *));

			if (!v)
				return -ENOMEM;
			h->v = v;
			h->cap = cap;
		}
		set(h, ++h->n, node);
	}
	node->at = at;
	settle(h, node->pos, node);
	return 0;
}

void heap_drop(struct heap *h, struct heap_node *node)
{
	size_t pos = node->pos;
	struct heap_node *last;

	if (pos == 0)
		return;
	last = h->v[--h->n];
	node->pos = 0;
	if (last != node)
		settle(h, pos, last);
}

struct heap_node *heap_first(const struct heap *h)
{
	return h->n > 0 ? h->v[0] : NULL;
}

void heap_free(struct heap *h)
{
	free(h->v);
	*h = (struct heap){0};
}
