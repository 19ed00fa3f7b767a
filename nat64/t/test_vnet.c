/* test_vnet.c - offload headers of a TUN device through a translation. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "nat64/vnet.h"

#define TCP 6
#define UDP 17

struct sample {
	uint8_t pkt[200];
	struct nat64_in in;
	struct virtio_net_hdr h;
};

/* An IPv4 packet of 'proto' with 8 octets of payload behind a transport header of 'l4' octets. */
static struct sample v4(uint8_t proto, unsigned l4, unsigned csum_offset)
{
	struct sample s = {.h = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
				   .hdr_len = (uint16_t)(20 + l4),
				   .csum_start = 20,
				   .csum_offset = (uint16_t)csum_offset}};

	s.pkt[0] = 0x45;
	s.pkt[9] = proto;
	s.in.size = 20 + l4 + 8;
	return s;
}

static struct sample v6(uint8_t proto, unsigned l4, unsigned csum_offset)
{
	struct sample s = v4(proto, l4, csum_offset);

	s.pkt[0] = 0x60;
	s.pkt[6] = proto;
	s.h.csum_start = 40;
	s.h.hdr_len = (uint16_t)(40 + l4);
	s.in.size += 20;
	return s;
}

static bool take(struct sample *s)
{
	s->in.pkt = s->pkt;
	return vnet_read(&s->h, s->pkt, &s->in);
}

static void test_a_whole_packet_says_nothing(void **state)
{
	struct sample s = v4(TCP, 20, 16);
	struct nat64_packet p = {.size = 68, .is6 = true};
	struct virtio_net_hdr none = {0}, out;

	(void)state;
	s.h = none;
	assert_true(take(&s));
	assert_false(s.in.partial_csum);
	assert_false(s.in.is_gso);
	assert_true(vnet_write(&s.h, &s.in, &p, &out));
	assert_memory_equal(&out, &none, sizeof(out));
}

static void test_segments_of_tcp_change_family(void **state)
{
	struct sample s = v4(TCP, 32, 16);
	struct nat64_packet p = {.size = 80, .is6 = true, .csum_start = 40};
	struct virtio_net_hdr out;

	(void)state;
	s.h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN;
	s.h.gso_size = 1448;
	assert_true(take(&s));
	assert_true(s.in.partial_csum);
	assert_true(s.in.is_gso);
	assert_int_equal(s.in.gso_size, 1448);
	assert_true(vnet_write(&s.h, &s.in, &p, &out));
	assert_int_equal(out.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(out.gso_type, VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN);
	assert_int_equal(out.gso_size, 1448);
	assert_int_equal(out.csum_start, 40);
	assert_int_equal(out.csum_offset, 16);
	assert_int_equal(out.hdr_len, 72);
}

static void test_segments_of_udp_stay(void **state)
{
	struct sample s = v6(UDP, 8, 6);
	struct nat64_packet p = {.size = 36, .csum_start = 20};
	struct virtio_net_hdr out;

	(void)state;
	s.h.gso_type = VNET_GSO_UDP_L4;
	s.h.gso_size = 1200;
	assert_true(take(&s));
	assert_true(vnet_write(&s.h, &s.in, &p, &out));
	assert_int_equal(out.gso_type, VNET_GSO_UDP_L4);
	assert_int_equal(out.csum_start, 20);
	assert_int_equal(out.hdr_len, 28);
}

static void test_what_was_split_or_is_an_error_has_its_checksum(void **state)
{
	struct sample s = v4(UDP, 8, 6);
	struct nat64_packet fragment = {.size = 60, .is6 = true},
			    error = {.size = 64, .is_error = true};
	struct virtio_net_hdr none = {0}, out;

	(void)state;
	assert_true(take(&s));
	assert_true(s.in.partial_csum);
	assert_true(vnet_write(&s.h, &s.in, &fragment, &out));
	assert_memory_equal(&out, &none, sizeof(out));
	assert_true(vnet_write(&s.h, &s.in, &error, &out));
	assert_memory_equal(&out, &none, sizeof(out));
}

/* RFC 1071: the sum over the segment with its checksum, and the pseudo-header, is all ones. */
static uint16_t sum(const uint8_t *p, size_t size, uint32_t sum)
{
	for (size_t i = 0; i + 1 < size; i += 2)
		sum += (unsigned)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void test_a_checksum_out_of_place_is_completed(void **state)
{
	const uint16_t pseudo = 0x1234;
	struct sample s = v4(47, 24, 0); /* GRE and in it UDP, say */

	(void)state;
	for (unsigned i = 20; i < s.in.size; i++)
		s.pkt[i] = (uint8_t)(7 * i);
	s.h.csum_start = 30;
	s.h.csum_offset = 6;
	s.pkt[36] = pseudo >> 8;
	s.pkt[37] = pseudo & 0xff;
	assert_true(take(&s));
	assert_false(s.in.partial_csum);
	assert_int_equal(sum(s.pkt + 30, s.in.size - 30, pseudo), 0xffff);
}

static void test_fragments_and_extension_headers_are_out_of_place(void **state)
{
	struct sample frag = v4(UDP, 8, 6), ext = v6(UDP, 16, 6), other = v4(UDP, 20, 16);

	(void)state;
	frag.pkt[6] = 0x20;
	assert_true(take(&frag));
	assert_false(frag.in.partial_csum);
	ext.pkt[6] = 0;
	ext.h.csum_start = 48;
	assert_true(take(&ext));
	assert_false(ext.in.partial_csum);
	assert_true(take(&other)); /* TCP's place in UDP */
	assert_false(other.in.partial_csum);
}

static void test_contradictions_are_refused(void **state)
{
	struct sample s = v4(TCP, 20, 16);

	(void)state;
	s.h.csum_start = (uint16_t)s.in.size - 17;
	assert_false(take(&s)); /* the field ends past the packet */
	s = v4(TCP, 20, 16);
	s.h.csum_start = 0xffff;
	assert_false(take(&s));
	s = v4(TCP, 20, 16);
	s.h.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	s.h.gso_size = 1000;
	assert_false(take(&s)); /* of the other family */
	s.h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	assert_true(take(&s));
	s.h.gso_size = 0;
	assert_false(take(&s));
	s.h.gso_size = 1000;
	s.h.flags = 0;
	assert_false(take(&s)); /* segments without checksums to be made */
	s = v4(UDP, 8, 6);
	s.h.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	s.h.gso_size = 1000;
	assert_false(take(&s)); /* not asked for */
}

static void test_another_transport_header_is_refused(void **state)
{
	struct sample s = v4(TCP, 20, 16);
	struct nat64_packet p = {.size = 68, .is6 = true, .csum_start = 48};
	struct virtio_net_hdr out;

	(void)state;
	assert_true(take(&s));
	assert_false(vnet_write(&s.h, &s.in, &p, &out));
	p.csum_start = 40;
	assert_true(vnet_write(&s.h, &s.in, &p, &out));
}

static void test_split_segments_go_out_as_plain_packets(void **state)
{
	struct sample s = v4(TCP, 20, 16);
	struct nat64_packet p = {.size = 68, .is6 = true};
	struct virtio_net_hdr out;

	(void)state;
	s.h.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	s.h.gso_size = 1000;
	assert_true(take(&s));
	assert_true(vnet_write(&s.h, &s.in, &p, &out));
	assert_int_equal(out.flags, 0);
	assert_int_equal(out.gso_type, VIRTIO_NET_HDR_GSO_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_whole_packet_says_nothing),
		cmocka_unit_test(test_segments_of_tcp_change_family),
		cmocka_unit_test(test_segments_of_udp_stay),
		cmocka_unit_test(test_what_was_split_or_is_an_error_has_its_checksum),
		cmocka_unit_test(test_a_checksum_out_of_place_is_completed),
		cmocka_unit_test(test_fragments_and_extension_headers_are_out_of_place),
		cmocka_unit_test(test_contradictions_are_refused),
		cmocka_unit_test(test_another_transport_header_is_refused),
		cmocka_unit_test(test_split_segments_go_out_as_plain_packets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
