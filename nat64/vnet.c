/* vnet.c - offload headers through a translation: csum_start and hdr_len move by what the head
 * grows or shrinks, the segmentation type changes its family, a segment's payload stays. */
#include <netinet/in.h>
#include <string.h>
#include "nat64/vnet.h"

#define TCP_CSUM 16 /* offset of the checksum in the transport header */
#define UDP_CSUM 6

/* Where the translation looks for TCP and UDP: behind a header without anything between. */
static bool is_plain(const struct virtio_net_hdr *h, const uint8_t *pkt, size_t size)
{
	uint8_t proto;

	if (size >= 40 && pkt[0] >> 4 == 6) {
		proto = pkt[6];
		if (h->csum_start != 40)
			return false;
	} else if (size >= 20 && pkt[0] >> 4 == 4) {
		proto = pkt[9];
		if (h->csum_start != (pkt[0] & 15) * 4 || (pkt[6] & 0x3f) || pkt[7])
			return false; /* a fragment's checksum is about more than is here */
	} else {
		return false;
	}
	return (proto == IPPROTO_TCP && h->csum_offset == TCP_CSUM) ||
	       (proto == IPPROTO_UDP && h->csum_offset == UDP_CSUM);
}

/* The field holds the pseudo-header's sum; the result goes there. */
static void complete(const struct virtio_net_hdr *h, uint8_t *pkt, size_t size)
{
	uint8_t *field = pkt + h->csum_start + h->csum_offset;
	uint64_t sum = 0;
	uint16_t result;

	for (size_t i = h->csum_start; i < size; i++)
		sum += (i - h->csum_start) & 1 ? pkt[i] : (unsigned)pkt[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	result = (uint16_t)~sum;
	if (!result && h->csum_offset == UDP_CSUM)
		result = 0xffff; /* zero says that there is none */
	field[0] = (uint8_t)(result >> 8);
	field[1] = (uint8_t)result;
}

static bool known_gso(const struct virtio_net_hdr *h, const uint8_t *pkt)
{
	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_TCPV4: return pkt[0] >> 4 == 4 && h->csum_offset == TCP_CSUM;
	case VIRTIO_NET_HDR_GSO_TCPV6: return pkt[0] >> 4 == 6 && h->csum_offset == TCP_CSUM;
	case VNET_GSO_UDP_L4: return h->csum_offset == UDP_CSUM;
	default: return false;
	}
}

bool vnet_read(const struct virtio_net_hdr *h, uint8_t *pkt, struct nat64_in *in)
{
	bool is_partial = h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

	in->is_gso = h->gso_type != VIRTIO_NET_HDR_GSO_NONE;
	in->gso_size = h->gso_size;
	in->partial_csum = is_partial;
	if (is_partial && (size_t)h->csum_start + h->csum_offset + 2 > in->size)
		return false;
	if (in->is_gso) /* segments have no checksum but the one that each will get */
		return is_partial && h->gso_size && in->size >= 20 && known_gso(h, pkt);
	if (is_partial && !is_plain(h, pkt, in->size)) {
		complete(h, pkt, in->size);
		in->partial_csum = false;
	}
	return true;
}

static uint8_t gso_type(uint8_t was, bool is6)
{
	uint8_t type = was & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if (type == VNET_GSO_UDP_L4)
		return was;
	type = is6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
	return type | (was & VIRTIO_NET_HDR_GSO_ECN);
}

bool vnet_write(const struct virtio_net_hdr *was, const struct nat64_in *in,
	const struct nat64_packet *p, struct virtio_net_hdr *out)
{
	unsigned l4_hdr = was->hdr_len > was->csum_start ? was->hdr_len - was->csum_start : 0;

	memset(out, 0, sizeof(*out));
	if (p->is_error || !in->partial_csum)
		return true;
	if (!p->csum_start) /* the translation completed it: it had to split the packet */
		return true;
	if (p->size - p->csum_start != in->size - was->csum_start)
		return false; /* it found another transport header than the kernel did */
	out->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	out->csum_start = (uint16_t)p->csum_start;
	out->csum_offset = was->csum_offset;
	if (!in->is_gso)
		return true;
	out->gso_type = gso_type(was->gso_type, p->is6);
	out->gso_size = was->gso_size;
	out->hdr_len = (uint16_t)(p->csum_start + l4_hdr);
	return true;
}
