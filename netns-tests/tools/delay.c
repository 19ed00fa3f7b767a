/* delay IF_A IF_B MS - a link of so many milliseconds each way between two interfaces, for kernels
 * without netem.  Frames go through whole, offloaded segments and checksums included.  Prints
 * "ready". */
#include <arpa/inet.h>
#include <err.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX (65536 + 128)
#define QUEUE_MAX 16384 /* frames each way; more are lost, as on any link */

struct frame {
	uint64_t due_ns;
	size_t size;
	uint8_t *data; /* owned; virtio_net_hdr and frame */
};

struct way {
	int from, to;
	unsigned head, n;
	struct frame v[QUEUE_MAX];
};

static struct way ways[2];
static uint64_t delay_ns;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int open_on(const char *name)
{
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int one = 1, room = 64 << 20, fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK, 0);
	struct packet_mreq all = {.mr_type = PACKET_MR_PROMISC};

	at.sll_ifindex = all.mr_ifindex = (int)if_nametoindex(name);
	if (!at.sll_ifindex)
		err(1, "%s", name);
	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) < 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 ||
		setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof(all)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0 ||
		bind(fd, (const struct sockaddr *)&at, sizeof(at)) < 0)
		err(1, "packet socket on %s", name);
	return fd;
}

static void take(struct way *w)
{
	static uint8_t buf[FRAME_MAX];
	ssize_t size;

	while ((size = recv(w->from, buf, sizeof(buf), 0)) > 0) {
		struct frame *f = &w->v[(w->head + w->n) % QUEUE_MAX];

		if (w->n == QUEUE_MAX || !(f->data = malloc((size_t)size)))
			continue;
		memcpy(f->data, buf, (size_t)size);
		f->size = (size_t)size;
		f->due_ns = now_ns() + delay_ns;
		w->n++;
	}
}

/* Sends what is due; when the next one is, UINT64_MAX: there is none. */
static uint64_t give(struct way *w)
{
	uint64_t now = now_ns();

	while (w->n && w->v[w->head].due_ns <= now) {
		struct frame *f = &w->v[w->head];

		send(w->to, f->data, f->size, 0); /* what is not taken is lost */
		free(f->data);
		w->head = (w->head + 1) % QUEUE_MAX;
		w->n--;
	}
	return w->n ? w->v[w->head].due_ns : UINT64_MAX;
}

int main(int argc, char **argv)
{
	if (argc != 4)
		errx(2, "delay IF_A IF_B MS");
	delay_ns = (uint64_t)(atof(argv[3]) * 1e6);
	ways[0].from = ways[1].to = open_on(argv[1]);
	ways[0].to = ways[1].from = open_on(argv[2]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct pollfd p[2] = {{ways[0].from, POLLIN, 0}, {ways[1].from, POLLIN, 0}};
		uint64_t a = give(&ways[0]), b = give(&ways[1]), next = a < b ? a : b;
		uint64_t now = now_ns(), wait = next <= now ? 0 : next - now;
		struct timespec t = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};

		ppoll(p, 2, next == UINT64_MAX ? NULL : &t, NULL);
		take(&ways[0]);
		take(&ways[1]);
	}
}
