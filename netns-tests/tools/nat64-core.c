/* nat64-core - the translation core at the command line, for the packet pairs of the network tests.
 *
 *   nat64-core CONFIGURATION     reads a line per packet: MTU4 MTU6 HEX ("-": an empty packet)
 *                                writes a line each: the packets that it became (an ICMP error of
 *                                ours with '!' in front), at the end the counter's name
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "nat64/conf.h"
#include "nat64/translate.h"

#define MAX_PACKET 70000
#define RANDOM     0x89abcdef /* for every packet: results can be compared */

static size_t unhex(const char *s, uint8_t *out, size_t max)
{
	size_t n = 0;
	unsigned octet;

	for (; n < max && isxdigit((unsigned char)s[0]) && sscanf(s, "%2x", &octet) == 1; s += 2)
		out[n++] = (uint8_t)octet;
	return n;
}

static void print(void *arg, const struct nat64_packet *p)
{
	size_t size = 0;

	(void)arg;
	fputs(p->is_error ? "!" : "", stdout);
	for (unsigned i = 0; i < p->n_iov; i++) {
		const uint8_t *octets = p->iov[i].iov_base;

		for (size_t k = 0; k < p->iov[i].iov_len; k++)
			printf("%02x", octets[k]);
		size += p->iov[i].iov_len;
	}
	fputs(size == p->size ? " " : "size-is-wrong ", stdout);
}

int main(int argc, char **argv)
{
	static char line[2 * MAX_PACKET + 64];
	struct nat64_file file;

	if (argc != 2) {
		fputs("usage: nat64-core CONFIGURATION <PACKETS\n", stderr);
		return 2;
	}
	if (nat64_conf_read(argv[1], &file)) {
		nat64_conf_free(&file);
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		struct nat64_in in = {.random = RANDOM};
		uint8_t *packet;
		int at = 0;

		if (sscanf(line, "%u %u %n", &file.nat64.conf.mtu4, &file.nat64.conf.mtu6, &at) < 2)
			return 2;
		/* Just as large as the packet, so that a sanitizer sees what is read past it. */
		packet = malloc(strlen(line) / 2 + 1);
		if (!packet)
			return 1;
		in.size = unhex(line + at, packet, MAX_PACKET);
		in.pkt = memmove(packet + strlen(line) / 2 + 1 - in.size, packet, in.size);
		puts(nat64_reason_name(nat64_translate(&file.nat64, &in, print, NULL)));
		free(packet);
	}
	nat64_conf_free(&file);
	return 0;
}
