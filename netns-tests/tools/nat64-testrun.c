/* nat64-testrun - the eBPF engine's program on single packets (BPF_PROG_TEST_RUN), for the packet
 * pairs of the network tests.
 *
 *   nat64-testrun CONFIGURATION TUN INGRESS
 *       TUN: a device, whatever it is, that the routes to the translator lead to; INGRESS: the
 *       interface where the packets are said to come in.  Reads a line per packet: 4|6 HEX [GSO]
 *       ("4", "6": EtherType; GSO: payload octets per segment).  Writes a line each:
 *       VERDICT COUNTER HEX, without the link-layer header.  VERDICT: translated, slow (ours, left
 *       to the TUN engine), pass (not ours), drop, untested (more than the kernel takes here).
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "nat64/conf.h"
#include "nat64/engine.h"
#include "nat64/translate.h"

#define MAX_PACKET 70000

static int mac_of(const char *name, uint8_t *mac)
{
	struct ifreq ifr = {0};
	int r, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	r = ioctl(fd, SIOCGIFHWADDR, &ifr);
	memcpy(mac, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
	close(fd);
	return r;
}

static size_t unhex(const char *s, uint8_t *out, size_t max)
{
	size_t n = 0;
	unsigned octet;

	for (; n < max && sscanf(s, "%2x", &octet) == 1; s += 2)
		out[n++] = (uint8_t)octet;
	return n;
}

/* The first counter that differs. */
static enum nat64_reason changed(const struct nat64_counters *a, const struct nat64_counters *b)
{
	unsigned why = 0;

	while (why < NAT64_N_REASONS && a->n[why] == b->n[why])
		why++;
	return why;
}

static void print(const char *verdict, enum nat64_reason why, const uint8_t *pkt, size_t size)
{
	printf("%s %s ", verdict, why < NAT64_N_REASONS ? nat64_reason_name(why) : "-");
	for (size_t i = 0; i < size; i++)
		printf("%02x", pkt[i]);
	puts(size ? "" : "-");
}

static void run(const struct nat64_bpf *b, uint8_t *frame, size_t size, struct __sk_buff *ctx)
{
	static uint8_t out[ETH_HLEN + MAX_PACKET];
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (__u32)size,
		.data_out = out, .data_size_out = sizeof(out), .ctx_in = ctx,
		.ctx_size_in = sizeof(*ctx));
	struct nat64_counters before = {0}, after = {0};
	enum nat64_reason why;

	nat64_bpf_counters(b, &before);
	if (bpf_prog_test_run_opts(nat64_bpf_prog(b), &opts) < 0) {
		print("untested", NAT64_N_REASONS, NULL, 0);
		return;
	}
	nat64_bpf_counters(b, &after);
	why = changed(&before, &after);
	print(opts.retval == TC_ACT_REDIRECT ? "translated"
		: opts.retval == TC_ACT_SHOT ? "drop"
		: why == NAT64_slow          ? "slow"
					     : "pass",
		why, out + ETH_HLEN, opts.data_size_out - ETH_HLEN);
}

static int serve(const struct nat64_bpf *b, const char *ingress)
{
	static char line[2 * MAX_PACKET + 64];
	static uint8_t frame[ETH_HLEN + MAX_PACKET];

	if (mac_of(ingress, frame) < 0)
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		struct __sk_buff ctx = {.ifindex = if_nametoindex(ingress)};
		uint16_t proto = htons(line[0] == '6' ? ETH_P_IPV6 : ETH_P_IP);
		char *gso = strchr(line + 2, ' ');
		size_t size = unhex(line + 2, frame + ETH_HLEN, MAX_PACKET);

		memcpy(frame + ETH_HLEN - sizeof(proto), &proto, sizeof(proto));
		ctx.gso_size = gso ? (__u32)atoi(gso) : 0;
		ctx.gso_segs = ctx.gso_size ? (__u32)((size - 1) / ctx.gso_size + 1) : 0;
		run(b, frame, ETH_HLEN + size, &ctx);
		fflush(stdout);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct nat64_engine_conf conf = {0};
	struct nat64_file file;
	struct nat64_bpf *b;
	char why[256];
	int r = 1;

	if (argc != 4) {
		fputs("usage: nat64-testrun CONFIGURATION TUN INGRESS <PACKETS\n", stderr);
		return 2;
	}
	if (nat64_conf_read(argv[1], &file) == 0) {
		if (nat64_bpf_open(&b, &conf, &file.nat64, if_nametoindex(argv[2]), why) < 0) {
			fprintf(stderr, "nat64-testrun: %s\n", why);
		} else {
			r = serve(b, argv[3]);
			nat64_bpf_close(b, false);
		}
	}
	nat64_conf_free(&file);
	return r;
}
